#include "operation.h"

#include "alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The exit status of a try in a process of its own; no sanitizer ends one with it. */
enum { ENDED = 64, FIRED = 1, BAD = 2 };
enum { FIRST = 400, SHOWN = 8, TOLD_MAX = 16 * 1024 * 1024 };

struct tries tries;

/* AddressSanitizer's; without it leaks are not looked for. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

void operation_failed(const char *file, int line, const char *what) {
    if (tries.failed++ >= SHOWN) return;
    const char *base = strrchr(file, '/');
    printf("# %s, allocation %lu: not so: %s (%s:%d)\n", tries.name, tries.n, what, base ? base + 1 : file, line);
}

void operation_says(const char *format, ...) {
    va_list arguments;
    if (tries.failed > SHOWN) return;
    fputs("#   ", stdout);
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

unsigned long tries_next(unsigned long n, unsigned long first) {
    static unsigned long long random = 88172645463325252u;
    if (tries.all || n < first) return n + 1;
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return n + 1 + (unsigned long)(random % (n / 40 + 1));
}

size_t operation_memory(void) { return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes() : 0; }

static void expect_memory_error(const struct error *error) {
    bool said = strcmp(error->code, "out-of-memory") == 0 || strstr(error->message, "emory");
    if (!EXPECT(said) || !EXPECT(error->kind != ERROR_NONE) || !EXPECT(error->message[0]))
        operation_says("kind %d, code \"%s\", message \"%s\"", (int)error->kind, error->code, error->message);
}

/* The state's answer compared with `wanted`. */
static void expect_told(const struct operation *operation, void *state, const struct buf *wanted) {
    struct buf told;
    buf_init(&told, TOLD_MAX);
    operation->tell(state, &told);
    if (!EXPECT(slice_equal(buf_slice(&told), buf_slice(wanted)))) operation_says("it gave %.300s", told.n ? told.p : "nothing");
    buf_release(&told);
}

/* One try; returns whether an allocation failed in it. */
static bool try_once(const struct operation *operation, unsigned long n, unsigned long times, const struct buf *wanted) {
    struct error error = {0};
    unsigned long fired;
    tries.n = n;
    size_t before = operation_memory();
    void *state = operation->set_up();
    alloc_begin(n, times);
    int result = operation->run(state, &error);
    (void)alloc_end(&fired);
    if (result) {
        if (!EXPECT(fired)) operation_says("code \"%s\", message \"%s\"", error.code, error.message);
        expect_memory_error(&error);
        error = (struct error){0};
        if (!EXPECT(operation->run(state, &error) == 0)) operation_says("the second time: %s", error.message);
    }
    expect_told(operation, state, wanted);
    operation->tear_down(state);
    if (!operation->own_process && !EXPECT(operation_memory() == before) && __lsan_do_recoverable_leak_check)
        (void)__lsan_do_recoverable_leak_check();
    return fired;
}

/* The same in a process of its own, which tells by its exit status; any other has died of something. */
static bool try_apart(const struct operation *operation, unsigned long n, unsigned long times, const struct buf *wanted) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        tries.failed = 0;
        bool fired = try_once(operation, n, times, wanted);
        if (__lsan_do_recoverable_leak_check) EXPECT(!__lsan_do_recoverable_leak_check());
        fflush(NULL);
        _exit(ENDED | (tries.failed ? BAD : 0) | (fired ? FIRED : 0));
    }
    tries.n = n;
    (void)waitpid(child, &status, 0);
    int ended = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
    EXPECT(ended == ENDED || ended == (ENDED | FIRED));
    return ended != ENDED && ended != (ENDED | BAD);
}

static void refer(const struct operation *operation, struct buf *wanted) {
    struct error error = {0};
    void *state = operation->set_up();
    if (!EXPECT(operation->run(state, &error) == 0)) operation_says("%s", error.message);
    operation->tell(state, wanted);
    operation->tear_down(state);
}

static void refer_apart(const struct operation *operation, struct buf *wanted) {
    int ends[2];
    char part[4096];
    if (pipe(ends)) abort();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        refer(operation, wanted);
        _exit(write(ends[1], wanted->p, wanted->n) == (ssize_t)wanted->n ? 0 : 2);
    }
    (void)close(ends[1]);
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0;) buf_append(wanted, slice_of(part, (size_t)n));
    (void)close(ends[0]);
    (void)waitpid(child, NULL, 0);
}

static unsigned long torture(const struct operation *operation, unsigned long from) {
    struct buf wanted;
    unsigned long count = 0;
    buf_init(&wanted, TOLD_MAX);
    tries.name = operation->name;
    tries.failed = 0;
    tries.n = 0;
    (operation->own_process ? refer_apart : refer)(operation, &wanted);
    EXPECT(wanted.n > 0);
    for (int all = 0; all < 2; all++)
        for (unsigned long n = from;; n = tries_next(n, FIRST), count++)
            if (!(operation->own_process ? try_apart : try_once)(operation, n, all ? ALLOC_ALL : 1, &wanted)) break;
    buf_release(&wanted);
    return count;
}

int operations_run(const struct operation *operations, size_t count, int argc, char **argv) {
    const char *filter = "";
    unsigned long from = 1;
    size_t number = 0, failed = 0, matching = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all") == 0)
            tries.all = true;
        else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
            from = strtoul(argv[++i], NULL, 10);
        else
            filter = argv[i];
    }
    for (size_t i = 0; i < count; i++) matching += strstr(operations[i].name, filter) != NULL;
    printf("1..%zu\n", matching);
    for (size_t i = 0; i < count; i++) {
        if (!strstr(operations[i].name, filter)) continue;
        unsigned long tried = torture(&operations[i], from);
        failed += tries.failed > 0;
        printf("%s %zu - %s: %lu failed allocations\n", tries.failed ? "not ok" : "ok", ++number, operations[i].name, tried);
        fflush(stdout);
    }
    return failed ? 1 : 0;
}
