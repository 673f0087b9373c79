/* bin/gridsidecar, and under their names bin/gridsidecar-python and bin/gridsidecar-copy: starts the bundle's Python.
 *
 * Linked statically, because the image may have no C library, or another. The bundle is where this file is. The loader
 * is told by arguments, not by variables, where its libraries are: nothing of that reaches a child.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static char root[PATH_MAX];

static int fail(const char *what) {
    const char *hint = errno == EACCES ? "; is its volume mounted noexec?" : "";
    fprintf(stderr, "gridsidecar: %s: %s%s\n", what, strerror(errno), hint);
    return errno == ENOENT ? 127 : 126; /* as shells have it */
}

static int refuse(const char *why) {
    fprintf(stderr, "gridsidecar: cannot run from %s: %s\n", root, why);
    return 126;
}

static char *inside(const char *path) {
    char *whole = malloc(PATH_MAX);
    if (whole == NULL || snprintf(whole, PATH_MAX, "%s/%s", root, path) >= PATH_MAX) exit(refuse("its path is too long"));
    return whole;
}

static const char *module_of(const char *command) {
    const char *slash = strrchr(command, '/');
    const char *name = slash == NULL ? command : slash + 1;
    if (strcmp(name, "gridsidecar-python") == 0) return NULL;
    return strcmp(name, "gridsidecar-copy") == 0 ? "gridsidecar_copy" : "gridsidecar";
}

/* LD_PRELOAD and its like are meant for programs of the image. Our loader must not see them, our children may be given
 * them: surroundings.c makes the L of what is a space here. */
static void hide_loader_variables(void) {
    for (char **entry = environ; *entry != NULL; entry++)
        if (strncmp(*entry, "LD_", 3) == 0) **entry = ' ';
}

/* Process 1 never hears of a signal that it does not handle yet. One that is blocked waits: `run` and `serve` unblock
 * it as soon as they handle it. */
static void keep_stop_signal(const char *command) {
    sigset_t stop;
    if (getpid() != 1 || (strcmp(command, "run") != 0 && strcmp(command, "serve") != 0)) return;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigprocmask(SIG_BLOCK, &stop, NULL);
}

int main(int argc, char **argv) {
    ssize_t length = readlink("/proc/self/exe", root, sizeof root - 1);
    if (length < 0) return fail("cannot find its own place, /proc/self/exe");
    root[length] = '\0';
    for (int level = 0; level < 2; level++) { /* /bin/gridsidecar */
        char *slash = strrchr(root, '/');
        if (slash != NULL) *slash = '\0';
    }
    if (strpbrk(root, ":;$") != NULL) return refuse("its path must not hold : ; or $, which mean something to the loader");

    char *loader = inside("lib/" LOADER);
    const char *module = module_of(argc > 0 ? argv[0] : "");
    /* -S: no site-packages of the machine are found. -I: nor what PYTHON* and the current folder say. */
    char *before[] = {"gridsidecar", "--inhibit-cache", "--library-path", inside("lib"), "--preload", "surroundings.so",
                      "--argv0", inside("bin/gridsidecar-python"), inside("lib/python"),
                      "-I", "-S", "-X", "utf8", "-m", (char *)module};
    int count = sizeof before / sizeof *before - (module == NULL ? 2 : 0);

    char **words = calloc(count + argc + 1, sizeof *words);
    if (words == NULL) return fail("no memory");
    memcpy(words, before, count * sizeof *words);
    for (int each = 1; each < argc; each++) words[count + each - 1] = argv[each];

    hide_loader_variables();
    keep_stop_signal(argc > 1 ? argv[1] : "");
    execve(loader, words, environ);
    return fail(loader);
}
