/* Every operation of every port fails at its n-th call, in every way and on both sides of its effect: afterwards every record is
 * answered exactly once, as it would have been. */
#include "digest.h"
#include "operation.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {"none", "input", "unavailable", "fenced", "unknown", "internal"};

static struct {
    struct buf told;
    unsigned long calls[OPERATION_COUNT];
} reference;

/* Only a new process helps: a lane's input that is broken for good, and whatever it needs before it can begin. */
static bool may_end_the_lane(const struct failure *f) {
    if (f->operation == DO_input_poll) return f->kind == ERROR_INTERNAL || f->kind == ERROR_FENCED;
    return f->operation == DO_store_installation || (f->operation == DO_output_init && f->nth <= 2);
}

/* What the store refuses is the data's fault: the culprit alone is refused, and its shard stops when not even that can be
 * written. */
static bool may_refuse(const struct failure *f) {
    return (f->operation == DO_store_write || f->operation == DO_store_load) && f->kind == ERROR_INPUT;
}

static void describe(const struct failure *f) {
    operation_says("%s fails at call %lu (%lu times, %s, %s)", operation_names[f->operation], f->nth, f->times,
                   f->operation == DO_registry_ask ? "with an answer" : kind_names[f->kind], f->after ? "after" : "before");
}

static unsigned long tried;

/* The first is what is tried; the others make that it is called at all. */
static void try_failures(const struct failure *failure, size_t count) {
    struct buf told;
    unsigned long failed = tries.failed;
    size_t before = operation_memory();
    buf_init(&told, 1024 * 1024);
    tries.n = ++tried;
    world_begin(failure, count);
    if (EXPECT(world_run())) world_check(&told);
    EXPECT(world.fired > 0);
    if (!may_end_the_lane(failure)) EXPECT(world.lives == 1);
    if (!may_refuse(&failure[count - 1])) {
        EXPECT(world.stops == 0);
        EXPECT(slice_equal(buf_slice(&told), buf_slice(&reference.told)));
    }
    world_end();
    buf_release(&told);
    EXPECT(operation_memory() == before);
    if (tries.failed > failed) describe(failure);
}

static void try_failure(const struct failure *failure) { try_failures(failure, 1); }

/* What only asks for a number or two fails before it has them. */
static bool has_effect(enum port_operation operation) {
    return operation != DO_input_partitions && operation != DO_input_bounds && operation != DO_store_installation;
}

static void try_kinds(struct failure failure) {
    static const enum error_kind kinds[] = {ERROR_UNAVAILABLE, ERROR_UNKNOWN, ERROR_FENCED, ERROR_INPUT, ERROR_INTERNAL};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        failure.kind = kinds[i];
        failure.after = false;
        try_failure(&failure);
        failure.after = true;
        if (has_effect(failure.operation)) try_failure(&failure);
    }
}

static void try_answers(struct failure failure) {
    static const enum registry_answer answers[] = {REGISTRY_NOT_ASKED, REGISTRY_DENIED, REGISTRY_BUSY, REGISTRY_UNREACHABLE};
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        failure.answer = answers[i];
        try_failure(&failure);
    }
}

static void try_operation(enum port_operation operation) {
    static const unsigned long times[] = {1, 3};
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        for (unsigned long nth = 1; nth <= reference.calls[operation]; nth++) {
            struct failure failure = {.operation = operation, .nth = nth, .times = times[i]};
            if (operation == DO_registry_ask)
                try_answers(failure);
            else
                try_kinds(failure);
        }
}

/* A shard is only stopped when not even the refusal of its record can be written. */
static void try_stop(void) {
    static const enum error_kind kinds[] = {ERROR_UNAVAILABLE, ERROR_UNKNOWN, ERROR_FENCED, ERROR_INPUT, ERROR_INTERNAL};
    for (unsigned long nth = 1; nth <= reference.calls[DO_store_write]; nth++)
        for (size_t i = 0; i < 2 * (sizeof kinds / sizeof *kinds); i++)
            try_failures(
                (const struct failure[]){{.operation = DO_store_stop, .nth = 1, .times = 1, .kind = kinds[i / 2], .after = i % 2},
                                         {.operation = DO_store_write, .nth = nth, .times = 10, .kind = ERROR_INPUT}},
                2);
}

int main(int argc, char **argv) {
    const char *filter = argc > 1 ? argv[argc - 1] : "";
    int number = 0, bad = 0, matching = 0;
    if (digest_prepare(NULL)) return 2;
    buf_init(&reference.told, 1024 * 1024);
    tries.name = "ports";
    world_begin(NULL, 0);
    if (!EXPECT(world_run())) return 2;
    world_check(&reference.told);
    world_end();
    memcpy(reference.calls, world.calls, sizeof reference.calls);
    for (int i = 0; i < OPERATION_COUNT; i++) matching += strstr(operation_names[i], filter) != NULL;
    printf("1..%d\n", matching);
    for (int i = 0; i < OPERATION_COUNT; i++) {
        if (!strstr(operation_names[i], filter)) continue;
        tries.name = operation_names[i];
        tries.failed = tried = 0;
        if (i == DO_store_stop)
            try_stop();
        else
            try_operation((enum port_operation)i);
        EXPECT(tried > 0);
        bad += tries.failed > 0;
        printf("%s %d - %s: %lu failures\n", tries.failed ? "not ok" : "ok", ++number, operation_names[i], tried);
        fflush(stdout);
    }
    buf_release(&reference.told);
    return bad > 0;
}
