/* lib/surroundings.so, loaded before Python starts: what the C library looks for in an image that may not have it. */
#include <netdb.h>
#include <nss.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include <limits.h>

/* OpenSSL's way to its variables. The image's configuration and modules are for the image's OpenSSL: ours would load
 * them, or be left without a cipher. SSL_CERT_FILE and the like are for every program. */
char *secure_getenv(const char *name) {
    return strcmp(name, "OPENSSL_CONF") == 0 ? "/dev/null" : getenv(name);
}

static void restore_loader_variables(char **environment) {
    for (char **entry = environment; *entry != NULL; entry++)
        if (strncmp(*entry, " D_", 3) == 0) **entry = 'L'; /* launcher.c */
}

/* Only what is built into our C library: the image's modules belong to its own. Without a word in nsswitch.conf, names
 * in /etc/hosts would be asked of a name server. */
static void choose_name_services(void) {
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");
    __nss_configure_lookup("group", "files");
}

/* The image's zone if it has it, else ours; read now, so that no variable is left that says where it was. */
static void read_time_zone(const char *bin_python) {
    const char *zone = getenv("TZ"), *end = strstr(bin_python, "/bin/gridsidecar-python");
    char path[PATH_MAX];
    if (zone == NULL || end == NULL || getenv("TZDIR") != NULL) return;
    if (*zone == ':') zone++;
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", zone);
    if (*zone == '/' || access(path, R_OK) == 0) return;
    snprintf(path, sizeof path, "%.*s/share/zoneinfo", (int)(end - bin_python), bin_python);
    setenv("TZDIR", path, 1);
    tzset();
    unsetenv("TZDIR");
}

__attribute__((constructor)) static void adapt(int argc, char **argv, char **environment) {
    (void)argc;
    restore_loader_variables(environment);
    choose_name_services();
    read_time_zone(argv[0]);
    prctl(PR_SET_NAME, "gridsidecar"); /* for ps and top, which would show the loader's name */
}
