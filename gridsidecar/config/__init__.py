"""Configuration: one YAML file, the environment and `.env`, checked whole before anything starts."""
