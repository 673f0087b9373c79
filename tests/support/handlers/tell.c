/* A handler that tells what it was given: its environment and its open descriptors. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

extern char **environ;

int main(void) {
    struct stat status;
    FILE *events = fopen(getenv("GRIDSIDECAR_EVENTS"), "a");
    fprintf(events, "{\"gs\":1,\"type\":\"result\",\"result\":{\"environment\":[\"\"");
    for (char **entry = environ; *entry != NULL; entry++) fprintf(events, ",\"%s\"", *entry);
    fprintf(events, "],\"descriptors\":[0");
    for (int fd = 1; fd < 256; fd++)
        if (fd != fileno(events) && fstat(fd, &status) == 0) fprintf(events, ",%d", fd);
    fprintf(events, "]}}\n");
    return 0;
}
