#include "lane.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MOTION_WAIT_MS = 5,
    COLLECT_MS = 17, /* a commit and a transaction, and a little: 14 leave others less, 20 and 25 no more */
    CROWD = 4,       /* so many records of a batch that is not full: they come all the time */
    GLANCE_MS = 3,   /* so often it is looked for neighbours of a crowd */
    LOOK_MS = 1000,
    LOOKS_AFTER_OUTAGE = 20,
    LOOKS_IN_REBALANCE = 90,
    STORE_AWAY_MS = 60000,
    REPORT_MS = 1000,
    SETTLE_MS = 30000,
    PAUSE_FIRST_MS = 50,
    PAUSE_LAST_MS = 5000,
    FIRST_RECORDS = 100, /* of the first batch after the input began anew */
    ARENA_MAX = 256 * 1024 * 1024
};

uint64_t lane_now_ms(const struct lane *lane) { return lane->options.clock->now_ms(lane->options.clock); }

/* xorshift64*: spreads retries, nothing more. */
uint64_t lane_random(struct lane *lane, uint64_t below) {
    uint64_t *x = &lane->options.random;
    *x ^= *x >> 12;
    *x ^= *x << 25;
    *x ^= *x >> 27;
    return *x * 0x2545f4914f6cdd1du % below;
}

bool lane_is_paused(const struct lane *lane) { return lane_now_ms(lane) < lane->pause_until; }

void lane_pause(struct lane *lane, const char *what, const struct error *error) {
    lane->pause_ms = lane->pause_ms ? lane->pause_ms * 2 : PAUSE_FIRST_MS;
    if (lane->pause_ms > PAUSE_LAST_MS) lane->pause_ms = PAUSE_LAST_MS;
    lane->pause_until = lane_now_ms(lane) + lane->pause_ms / 2 + lane_random(lane, lane->pause_ms);
    lane->reassign = true;
    log_error(LOG_WARN, what, error);
}

void lane_fail(struct lane *lane, const char *what, const struct error *error) {
    lane->failed = true;
    log_error(LOG_ERROR, what, error);
}

void lane_starve(struct lane *lane, const char *what) {
    struct error error;
    (void)error_memory(&error);
    lane_fail(lane, what, &error);
}

void lane_turn(struct lane *lane) { metrics_set(lane->options.metrics, METRIC_TURN_MS, lane_now_ms(lane)); }

struct lane *lane_new(const struct lane_options *options) {
    struct lane *lane = calloc(1, sizeof *lane);
    if (!lane) return NULL;
    lane->options = *options;
    if (!lane->options.random) lane->options.random = 1;
    lane->store_now_ms = lane_now_ms(lane);
    lane->batch_records = FIRST_RECORDS;
    lane->shards = calloc(options->shards, sizeof *lane->shards);
    lane->positions = calloc(options->shards, sizeof *lane->positions);
    lane->numbers = calloc(options->shards, sizeof *lane->numbers);
    for (size_t i = 0; i < LANE_BATCHES; i++) {
        batch_init(&lane->batches[i], ARENA_MAX);
        lane->batches[i].decoder = options->decoder;
        lane->free[lane->free_count++] = &lane->batches[i];
    }
    if (lane->shards && lane->positions && lane->numbers) return lane;
    lane_free(lane);
    return NULL;
}

void lane_free(struct lane *lane) {
    if (!lane) return;
    for (size_t i = 0; i < LANE_BATCHES; i++) batch_release(&lane->batches[i]);
    for (uint32_t n = 0; lane->shards && n < lane->options.shards; n++) arena_release(&lane->shards[n].ids);
    arena_release(&lane->policy_arena);
    free(lane->numbers);
    free(lane->positions);
    free(lane->shards);
    free(lane);
}

void lane_end(struct lane *lane) {
    if (lane->ending) return;
    lane->ending = true;
    log_line(LOG_INFO, "lane-ending", "reason=asked");
    process_quiet(lane); /* nobody may come before retention has done its work */
    shard_revoke_all(lane);
}

void lane_report(struct lane *lane, struct report *report) {
    switch (report->kind) {
    case REPORT_FREED:
        lane->kept_bytes -= report->batch->kept.used;
        batch_reset(report->batch);
        lane->free[lane->free_count++] = report->batch;
        break;
    case REPORT_BROKEN:
        metrics_add(lane->options.metrics, METRIC_RECOVERIES, 1);
        log_line(LOG_WARN, "publisher-recovers", "message=\"%s\"", LOG_QUOTED(report->reason));
        break;
    case REPORT_FAILED:
        log_line(LOG_ERROR, "publisher-failed", "message=\"%s\"", LOG_QUOTED(report->reason));
        lane->failed = true;
        break;
    case REPORT_PUBLISHED:
        metrics_add(lane->options.metrics, METRIC_RESULTS_PUBLISHED, report->count);
        metrics_set(lane->options.metrics, METRIC_BROKER_OK_MS, lane_now_ms(lane));
        shard_report(lane, report);
        break;
    default:
        shard_report(lane, report);
    }
    free(report);
}

static size_t owned_positions(struct lane *lane) {
    size_t count = 0;
    for (uint32_t n = 0; n < lane->options.shards; n++) {
        const struct lane_shard *s = &lane->shards[n];
        if (s->state != SHARD_OWNED) continue;
        lane->positions[count].shard = n;
        memcpy(lane->positions[count].position, s->position, sizeof s->position);
        count++;
    }
    return count;
}

/* Fetches exactly the owned shards, from where they are processed. */
static void assign(struct lane *lane) {
    struct input *input = lane->options.input;
    struct error error = {0};
    if (!lane->reassign || lane->revoking) return;
    lane->reassign = lane->quiet = false;
    lane->batch_records = FIRST_RECORDS;
    if (input->operations->assign(input, lane->positions, owned_positions(lane), &error))
        lane_pause(lane, "assign-failed", &error);
}

/* Nothing is fetched while it could not be processed. */
static void rest(struct lane *lane) {
    struct input *input = lane->options.input;
    struct error error = {0};
    if (lane->quiet || lane->revoking) return;
    lane->quiet = lane->reassign = true;
    if (input->operations->assign(input, lane->positions, 0, &error)) log_error(LOG_WARN, "assign-failed", &error);
}

/* All shards are let go: the group may go on. */
static void finish_revocation(struct lane *lane) {
    struct input *input = lane->options.input;
    struct error error = {0};
    if (!lane->revoking || !shard_all_away(lane)) return;
    lane->revoking = false;
    lane->reassign = false;
    if (!lane->ending && input->operations->assign(input, lane->positions, 0, &error))
        log_error(LOG_WARN, "assign-failed", &error);
}

/* How far the log goes beyond what is committed, as the last fetches have told. */
static void count_lag(struct lane *lane) {
    struct input *input = lane->options.input;
    uint64_t lag = 0;
    for (uint32_t n = 0; n < lane->options.shards; n++) {
        const struct lane_shard *s = &lane->shards[n];
        for (enum input_topic topic = INPUT_BUILDS; s->state == SHARD_OWNED && topic <= INPUT_REQUESTS; topic++) {
            int64_t end = input->operations->known_end(input, n, topic);
            if (end > 0 && (uint64_t)end > s->position[topic]) lag += (uint64_t)end - s->position[topic];
        }
    }
    metrics_set(lane->options.metrics, METRIC_LAG, lag);
}

static bool have_brokers_answered(const struct lane *lane, uint64_t now) {
    return metrics_get(lane->options.metrics, METRIC_BROKER_OK_MS) + LOOK_MS > now;
}

/* A lane that has nothing to publish asks a broker something, to know whether there is one. */
static void look_at_brokers(struct lane *lane, uint64_t now) {
    struct input *input = lane->options.input;
    struct error error = {0};
    uint32_t count;
    if (have_brokers_answered(lane, now)) return;
    if (input->operations->partitions(input, INPUT_REQUESTS, &count, &error)) {
        lane->outage = true;
        log_error(LOG_WARN, "broker-away", &error);
    } else
        metrics_set(lane->options.metrics, METRIC_BROKER_OK_MS, lane_now_ms(lane));
}

/* librdkafka (2.0.2 at least) may never join again when brokers come back after a session: a new process does. A rebalance
 * without such an outage may take longer, as the group waits until every lane has let its shards go. */
static void look_at_group(struct lane *lane, uint64_t now) {
    struct error error;
    unsigned most = lane->outage ? LOOKS_AFTER_OUTAGE : LOOKS_IN_REBALANCE;
    bool outside = !metrics_get(lane->options.metrics, METRIC_IN_GROUP);
    lane->looks_outside = outside && have_brokers_answered(lane, now) ? lane->looks_outside + 1 : 0;
    if (lane->looks_outside < most) return;
    (void)error_set(&error, ERROR_INTERNAL, "group-not-joined",
                    "brokers have answered for %u s, and the group has not taken the lane in", most * LOOK_MS / 1000);
    lane_fail(lane, "outside-group", &error);
}

/* Another lane can perhaps reach the store: this one gives its shards up, and its successor joins the group once it reaches it.
 */
static void look_at_store(struct lane *lane, uint64_t now) {
    struct error error;
    if (!have_brokers_answered(lane, now) || now < lane->store_now_ms + STORE_AWAY_MS) return;
    (void)error_set(&error, ERROR_UNAVAILABLE, "database-away", "brokers answer, and the database has not for %d s",
                    STORE_AWAY_MS / 1000);
    lane_fail(lane, "database-away", &error);
}

static void from_time_to_time(struct lane *lane) {
    struct input *input = lane->options.input;
    uint64_t now = lane_now_ms(lane);
    if (now >= lane->next_look) {
        lane->next_look = now + LOOK_MS;
        shard_look(lane);
        process_control(lane);
        process_skipped(lane);
        look_at_brokers(lane, now);
        look_at_group(lane, now);
        look_at_store(lane, now);
        if (lane->failed) return;
        count_lag(lane);
    }
    if (now >= lane->next_report) {
        lane->next_report = now + REPORT_MS;
        /* A report that is not answered stays with librdkafka, which wants all answered before it joins again. */
        size_t count = have_brokers_answered(lane, now) ? owned_positions(lane) : 0;
        if (count) input->operations->report(input, lane->positions, count);
    }
    if (now >= lane->next_settle) {
        lane->next_settle = now + SETTLE_MS;
        process_quiet(lane);
    }
}

static void outside_log(struct lane *lane, const struct input_event *event) {
    uint32_t shard = event->shards[0];
    struct lane_shard *s = &lane->shards[shard];
    char why[300];
    if (s->state != SHARD_OWNED) return;
    (void)snprintf(
        why, sizeof why,
        "position %llu of %s is not in the log, which holds %lld to %lld: records were lost, or the topic was made anew; "
        "see sluice shard show %u",
        (unsigned long long)s->position[event->topic], lane->options.topics[event->topic], (long long)event->log_start,
        (long long)event->log_end, shard);
    shard_stop(lane, shard, why);
}

/* The first results of a shard with a backlog do not wait for a whole batch: batches double until they are as large as they may
 * be. */
static size_t next_batch(const struct lane *lane) {
    size_t most = lane->options.batch_records;
    return lane->batch_records < most ? lane->batch_records : most;
}

/* Whom the next records come from is told by those of this batch. */
static void note_crowd(struct lane *lane, const struct input_event *event) {
    size_t of_crowds = 0;
    for (uint32_t n = 0; n < lane->options.shards; n++) lane->shards[n].lately = 0;
    for (size_t i = 0; i < event->record_count; i++)
        if (event->records[i].shard < lane->options.shards) lane->shards[event->records[i].shard].lately++;
    for (uint32_t n = 0; n < lane->options.shards; n++)
        if (lane->shards[n].lately >= CROWD) of_crowds += lane->shards[n].lately;
    lane->crowded = event->record_count >= CROWD;
    lane->lopsided = of_crowds * 2 > event->record_count;
}

/* A record of a shard that had none in that batch. */
static bool has_neighbour(const struct lane *lane, const struct input_event *event) {
    for (size_t i = 0; i < event->record_count; i++)
        if (event->records[i].shard < lane->options.shards && !lane->shards[event->records[i].shard].lately) return true;
    return false;
}

/* Until it is time, a crowd waits for more; but its neighbours do not wait for it. Where all shards have a little, all are
 * neighbours, and each would have a commit and a transaction of its own; so neither are two batches in a row hurried. */
static bool is_hurried(const struct lane *lane, const struct input_event *event) {
    return lane->lopsided && !lane->hurried && has_neighbour(lane, event);
}

static void take_records(struct lane *lane, const struct input_event *event, size_t limit) {
    struct input *input = lane->options.input;
    bool is_full = event->record_count + event->end_count >= limit;
    bool is_early = !is_full && lane->crowded && lane_collect_ms(lane);
    bool hurried = is_early && is_hurried(lane, event);
    if (is_early && !hurried) {
        input->operations->keep_records(input);
        return;
    }
    if (is_full) lane->batch_records = limit * 2;
    lane->collect_until = is_full || !event->record_count ? 0 : lane_now_ms(lane) + COLLECT_MS;
    lane->hurried = hurried;
    if (!hurried) note_crowd(lane, event); /* so short a batch says nothing of it */
    if (event->record_count) process_records(lane, event->records, event->record_count);
    shard_pass(lane, event->ends, event->end_count);
    input->operations->free_records(input);
}

/* What the group and the log have to say. */
static void consume(struct lane *lane, int wait_ms) {
    struct input *input = lane->options.input;
    struct input_event event = {0};
    struct error error = {0};
    size_t limit = next_batch(lane);
    if (input->operations->poll(input, wait_ms, limit, lane->options.batch_bytes, &event, &error)) {
        if (error.kind == ERROR_INTERNAL || error.kind == ERROR_FENCED) lane->failed = true; /* only a new member helps */
        lane_pause(lane, "consume-failed", &error);
        return;
    }
    switch (event.kind) {
    case INPUT_RECORDS:
        take_records(lane, &event, limit);
        break;
    case INPUT_ASSIGNED:
        lane->outage = false;
        metrics_set(lane->options.metrics, METRIC_IN_GROUP, 1);
        log_line(LOG_INFO, "assigned", "shards=%zu", event.shard_count);
        shard_assign(lane, event.shards, event.shard_count);
        lane->reassign = true; /* tells the group that the assignment is taken, also when it is empty */
        break;
    case INPUT_REVOKED:
        metrics_set(lane->options.metrics, METRIC_IN_GROUP, 0);
        log_line(LOG_INFO, "revoked", "shards=all");
        shard_revoke_all(lane);
        break;
    case INPUT_OUTSIDE_LOG:
        outside_log(lane, &event);
        break;
    }
}

/* While the publisher is busy, what comes could not be published at once: it is committed together with what comes next, as each
 * commit takes time from the transaction under way. The end of that one is a report, which is not waited past. But where records
 * come all the time, batches keep this distance, as long as no promotion was woken and no registry is asked: a commit and a
 * transaction for each handful take the processors from everybody, and the records are answered no sooner for it. What comes is
 * looked at meanwhile: see take_records. */
int lane_collect_ms(const struct lane *lane) {
    uint64_t now = lane_now_ms(lane);
    bool idle = lane->free_count == LANE_BATCHES && !lane->crowded;
    if (idle || lane->asking || lane->next_due <= now || lane->collect_until <= now) return 0;
    return (int)(lane->collect_until - now);
}

bool lane_hear(struct lane *lane, int wait_ms) {
    struct report *report = handoff_reports(lane->options.handoff, wait_ms);
    bool any = report != NULL;
    for (struct report *next; report; report = next) {
        next = report->next;
        lane_turn(lane);
        lane_report(lane, report);
    }
    return any;
}

static void hear_publisher(struct lane *lane) {
    int wait_ms = lane_collect_ms(lane);
    if (lane->crowded && wait_ms > GLANCE_MS) wait_ms = GLANCE_MS;
    (void)lane_hear(lane, lane->revoking || lane->ending ? 10 : wait_ms);
}

bool lane_step(struct lane *lane, int wait_ms) {
    lane_turn(lane);
    hear_publisher(lane);
    shard_tend(lane);
    finish_revocation(lane);
    if (lane->failed || (lane->ending && shard_all_away(lane))) return false;
    if (!lane_is_paused(lane) && !lane->revoking) {
        from_time_to_time(lane);
        if (lane->failed) return false;
        if (!lane_is_paused(lane)) process_due(lane);
    }
    if (lane_is_paused(lane))
        rest(lane);
    else
        assign(lane);
    if (lane->ending) return true;
    struct registry *registry = lane->options.registry;
    lane->asking = registry->operations->tend(registry);
    /* The group is served also while servers are away; and neither what the publisher is about to report nor a registry that is
     * still asked waits for records. */
    consume(lane, lane->asking || lane_is_paused(lane) || shard_any_in_motion(lane) ? MOTION_WAIT_MS : wait_ms);
    return !lane->failed;
}
