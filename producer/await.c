#include "await.h"

#include "command.h"
#include "output.h"
#include "text.h"

#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum {
    LOOK_MS = 200,                   /* between two looks at Ctrl-C and the clock */
    LAG_MS = 10000,                  /* as long as a broker may say that it has not got what is asked for: one that lags does */
    ANSWER_MEMORY = 32 * 1024 * 1024 /* of one answer and its tree */
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
    (void)number;
    interrupted = 1;
}

static int64_t now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- the place in the topic ---- */

static int start_partitions(struct await *await, uint32_t first, uint32_t count, bool from_start, struct error *error) {
    int result = -1;
    struct kafka_position *positions = calloc(count, sizeof *positions);
    await->ended = calloc(count, sizeof *await->ended);
    if (!positions || !await->ended) {
        error_memory(error);
        goto cleanup;
    }
    for (uint32_t i = 0; i < count; i++) positions[i] = (struct kafka_position){KAFKA_RESULTS, first + i, 0};
    if (kafka_reader_offsets(await->reader, from_start ? KAFKA_BEGINNING : KAFKA_END, positions, count, error)) goto cleanup;
    for (uint32_t i = 0; i < count; i++)
        if (kafka_reader_start(await->reader, &positions[i], error)) goto cleanup;
    await->first = first;
    await->partitions = await->behind = count;
    result = 0;
cleanup:
    free(positions);
    return result;
}

int await_init(struct await *await, const struct kafka_options *options, const struct asker *asker, bool from_start,
               struct error *error) {
    uint32_t partitions;
    *await = (struct await){.asker = *asker};
    for (int i = 0; i < 2; i++) arena_init(&await->arenas[i], ANSWER_MEMORY);
    await->reader = kafka_reader_new(options, KAFKA_COMMITTED, error);
    if (!await->reader || kafka_reader_partitions(await->reader, KAFKA_RESULTS, &partitions, error)) return -1;
    if (!asker->project.p) return start_partitions(await, 0, partitions, from_start, error);
    return start_partitions(await, text_murmur2(asker->project) % partitions, 1, from_start, error);
}

void await_release(struct await *await) {
    kafka_reader_free(await->reader);
    free(await->ended);
    for (int i = 0; i < 2; i++) arena_release(&await->arenas[i]);
}

const struct answer *await_last(const struct await *await) {
    return await->count ? &await->answers[(await->count - 1) % 2] : NULL;
}

/* ---- following ---- */

/* 1: it is the final answer; 0: it is not, or is for somebody else; -1 without memory. */
static int take_record(struct await *await, const struct kafka_record *record, struct error *error) {
    size_t next = await->count % 2;
    const struct answer *before = await_last(await);
    arena_reset(&await->arenas[next]);
    int found = answer_read(&await->arenas[next], record, &await->asker, &await->answers[next], error);
    if (found <= 0) return found;
    if (before && answer_is_refusal(&await->answers[next])) return 0;
    await->count++;
    if (await->answers[next].final) return 1;
    if (!await->behind) answer_print_waiting(stderr, &await->answers[next], before); /* not each step of long ago */
    return 0;
}

/* All that was there has been read: now it is known whether there is an answer yet. */
static void reach_end(struct await *await, uint32_t partition) {
    bool *ended = &await->ended[partition - await->first];
    if (*ended) return;
    *ended = true;
    if (--await->behind) return;
    const struct answer *last = await_last(await);
    if (last)
        answer_print_waiting(stderr, last, NULL);
    else if (!await->asker.id.p)
        fputs("no answer yet; waiting for one\n", stderr);
}

/* Whether reading goes on by itself. */
static bool goes_on(struct await *await, const struct error *error) {
    if (!error) return false;
    if (error->kind == ERROR_UNAVAILABLE) return true;
    if (strcmp(error->code, "kafka-offset") != 0) return false;
    if (!await->refused_at) await->refused_at = now_ms();
    (void)nanosleep(&(struct timespec){0, LOOK_MS * 1000000L}, NULL);
    return now_ms() - await->refused_at < LAG_MS;
}

static int follow(struct await *await, int64_t deadline, struct error *error) {
    while (!interrupted) {
        struct kafka_record record;
        int found;
        int64_t left = deadline - now_ms();
        if (left <= 0) return EXIT_TIMED_OUT;
        switch (kafka_reader_next(await->reader, left < LOOK_MS ? (int)left : LOOK_MS, &record, error)) {
        case KAFKA_READ_RECORD:
            await->refused_at = 0;
            found = take_record(await, &record, error);
            if (found) return found > 0 ? answer_status(await_last(await)) : EXIT_COULD_NOT_TELL;
            break;
        case KAFKA_READ_AT_END:
            reach_end(await, record.partition);
            break;
        case KAFKA_READ_FAILED:
            if (!goes_on(await, error)) return EXIT_COULD_NOT_TELL;
            break;
        case KAFKA_READ_NOTHING:
            break;
        }
    }
    return EXIT_INTERRUPTED;
}

int await_final(struct await *await, int64_t timeout, struct error *error) {
    struct sigaction stop = {.sa_handler = on_signal}, before_int, before_term;
    (void)sigemptyset(&stop.sa_mask);
    (void)sigaction(SIGINT, &stop, &before_int);
    (void)sigaction(SIGTERM, &stop, &before_term);
    int status = follow(await, now_ms() + timeout / 1000, error);
    (void)sigaction(SIGINT, &before_int, NULL);
    (void)sigaction(SIGTERM, &before_term, NULL);
    return status;
}
