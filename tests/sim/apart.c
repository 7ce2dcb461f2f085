#include "apart.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef SLUICE_COVERAGE
void __gcov_dump(void);
#endif

enum { RUN_S = 2, LINES_MAX = 60, LINE_MAX_BYTES = 400 };

void apart_limit(long seconds) { (void)setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = seconds}, NULL); }

const char *apart_how(int status) {
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPROF)
        return "because a lane goes in circles without asking anybody anything";
    if (WIFSIGNALED(status)) return strsignal(WTERMSIG(status));
    return WEXITSTATUS(status) ? "with an error" : NULL;
}

static const char *wait_for(pid_t pid) {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return NULL;
    return apart_how(status);
}

void apart_exit(int status) {
#ifdef SLUICE_COVERAGE
    __gcov_dump(); /* which _exit leaves out */
#endif
    _exit(status);
}

/* The child: `trace` -1 for none. */
_Noreturn static void run(const struct run_spec *told, int trace) {
    struct run_spec spec = *told;
    struct run_result result;
    spec.trace = trace >= 0 ? fdopen(trace, "w") : NULL;
    if (spec.trace) (void)setvbuf(spec.trace, NULL, _IOLBF, 0); /* so that the end of it gets out */
    apart_limit(RUN_S);
    world_run(&spec, &result);
    apart_exit(0);
}

const char *apart_run(const struct run_spec *spec) {
    (void)fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (nowhere >= 0) (void)dup2(nowhere, STDERR_FILENO); /* it was told once */
        run(spec, -1);
    }
    return pid < 0 ? NULL : wait_for(pid);
}

static void print_last(FILE *from) {
    static char lines[LINES_MAX][LINE_MAX_BYTES];
    char line[8192];
    size_t count = 0;
    while (fgets(line, sizeof line, from)) {
        line[strcspn(line, "\n")] = '\0';
        (void)snprintf(lines[count++ % LINES_MAX], LINE_MAX_BYTES, "%.*s", LINE_MAX_BYTES - 1, line);
    }
    size_t first = count > LINES_MAX ? count - LINES_MAX : 0;
    if (first) printf("  ... %zu earlier lines\n", first);
    for (size_t i = first; i < count; i++) printf("  %s\n", lines[i % LINES_MAX]);
}

const char *apart_tell(const struct run_spec *spec) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) return NULL;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        (void)close(ends[0]);
        run(spec, ends[1]);
    }
    (void)close(ends[1]);
    FILE *from = fdopen(ends[0], "r");
    if (from) {
        print_last(from);
        (void)fclose(from);
    }
    return pid < 0 ? NULL : wait_for(pid);
}
