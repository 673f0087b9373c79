"""HTTP requests and mails that leave this process: bounded in time and size, signed, and only to where they may go."""
