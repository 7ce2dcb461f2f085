#include "config_keys.h"

#include "config.h"
#include "text.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

static const int64_t MILLISECOND = 1000, SECOND = 1000000, MINUTE = 60 * (int64_t)1000000;

static bool is_word(struct slice text, const char *also) {
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || !strchr(also, c))) return false;
    }
    return true;
}

static bool is_name(struct slice text) { return text.n && is_word(text, "._-"); }
static bool is_topic_prefix(struct slice text) { return is_word(text, "._-"); }

/* An identifier that needs no quotes in SQL. */
static bool is_schema(struct slice text) {
    if (!text.n || (text.p[0] >= '0' && text.p[0] <= '9') || slice_starts(text, SLICE("pg_"))) return false;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] >= 'A' && text.p[i] <= 'Z') return false;
    return is_word(text, "_");
}

static bool is_address(struct slice text) {
    size_t colon = text.n;
    while (colon > 0 && text.p[colon - 1] != ':') colon--;
    struct slice port = slice_of(text.p + colon, text.n - colon);
    int number = 0;
    if (colon < 2 || !port.n || port.n > 5) return false;
    for (size_t i = 0; i < port.n; i++) {
        if (port.p[i] < '0' || port.p[i] > '9') return false;
        number = number * 10 + (port.p[i] - '0');
    }
    struct slice host = slice_of(text.p, colon - 1);
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') return number <= 65535 && is_word(host, "[]:.%");
    return number <= 65535 && is_word(host, ".-");
}

static bool is_anything(struct slice text) { return text.n != 0; }

static void compute_name(char *to, size_t room) {
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) != 0 || !is_name(slice_str(host))) (void)snprintf(host, sizeof host, "worker");
    (void)snprintf(to, room, "%s", host);
}

static void compute_lanes(char *to, size_t room) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    (void)snprintf(to, room, "%d", count < 1 ? 1 : count > 256 ? 256 : count);
}

#define MEMBER(path) offsetof(struct config, path)

const struct config_key config_keys[] = {
    {.name = "kafka.bootstrap-servers",
     .offset = MEMBER(kafka.bootstrap_servers),
     .maximum = 4096,
     .fits = is_anything,
     .form = "host:port, several with commas between them",
     .help = "The Kafka brokers to ask first."},
    {.name = "topic-prefix",
     .offset = MEMBER(topic_prefix),
     .standard = "release.",
     .maximum = 200,
     .fits = is_topic_prefix,
     .form = "letters, digits, '.', '_' and '-'",
     .help =
         "What the four topics' names begin with: <prefix>builds, requests, results, dead-letter. One tenant is one prefix and "
         "one schema."},
    {.name = "database.url",
     .offset = MEMBER(database.url),
     .maximum = 8192,
     .fits = is_anything,
     .form = "postgresql://user:password@host:port/database?options, or libpq's keywords",
     .secret = true,
     .help = "The Postgres database. With a standby, name both hosts and target_session_attrs=read-write."},
    {.name = "database.schema",
     .offset = MEMBER(database.schema),
     .standard = "sluice",
     .maximum = 63,
     .fits = is_schema,
     .form = "lower-case letters, digits and '_', not beginning with a digit or pg_",
     .help = "The schema that holds the tables."},
    {.name = "worker.name",
     .offset = MEMBER(worker.name),
     .compute = compute_name,
     .standard = "the host's name",
     .maximum = 200,
     .fits = is_name,
     .form = "letters, digits, '.', '_' and '-'",
     .help = "This worker's name in the consumer group; no two running workers share one. A restart under the same name has its "
             "partitions back at once."},
    {.name = "worker.group",
     .offset = MEMBER(worker.group),
     .standard = "sluice",
     .maximum = 200,
     .fits = is_name,
     .form = "letters, digits, '.', '_' and '-'",
     .help = "The consumer group of all workers of one installation. Installations on the same brokers need different ones, as "
             "they need "
             "different topic prefixes."},
    {.name = "worker.lanes",
     .kind = CONFIG_NUMBER,
     .offset = MEMBER(worker.lanes),
     .compute = compute_lanes,
     .standard = "one a processor",
     .minimum = 1,
     .maximum = 256,
     .help = "How many lanes (processes that own shards) this worker runs."},
    {.name = "worker.listen",
     .offset = MEMBER(worker.listen),
     .standard = "127.0.0.1:9464",
     .maximum = 300,
     .fits = is_address,
     .form = "host:port, [IPv6]:port",
     .help = "Where /metrics, /healthz and /readyz are served; port 0 takes a free one."},
    {.name = "worker.batch-records",
     .kind = CONFIG_NUMBER,
     .offset = MEMBER(worker.batch_records),
     .standard = "700",
     .minimum = 1,
     .maximum = 20000,
     .help = "The most records of one batch, which is one database transaction. While results are being "
             "published, and after a batch of four or more, it waits up to 17 ms for more."},
    {.name = "worker.batch-bytes",
     .kind = CONFIG_NUMBER,
     .offset = MEMBER(worker.batch_bytes),
     .standard = "4000000",
     .minimum = 1000000,
     .maximum = 64000000,
     .help = "About the most bytes of records in one batch; bounds a lane's memory."},
    {.name = "worker.log-level",
     .kind = CONFIG_CHOICE,
     .offset = MEMBER(worker.log_level),
     .standard = "info",
     .form = "debug, info, warn, error",
     .help = "The least urgent lines that are logged."},
    {.name = "worker.drain-timeout",
     .kind = CONFIG_DURATION,
     .offset = MEMBER(worker.drain_timeout),
     .standard = "20s",
     .minimum = SECOND,
     .maximum = 60 * MINUTE,
     .help = "How long SIGTERM waits for lanes to finish and publish before it kills them."},
    {.name = "registry.docker-config",
     .offset = MEMBER(registry.docker_config),
     .maximum = 4095,
     .fits = is_anything,
     .form = "a path",
     .help = "A Docker config.json whose `auths` are used towards registries."},
    {.name = "registry.ca-bundle",
     .offset = MEMBER(registry.ca_bundle),
     .maximum = 4095,
     .fits = is_anything,
     .form = "a path",
     .help = "A PEM file of certificate authorities for registries, instead of the system's."},
    {.name = "registry.token-realms",
     .offset = MEMBER(registry.token_realms),
     .maximum = 4096,
     .fits = is_anything,
     .form = "host or host:port, several with commas between them",
     .help = "Token servers, beside the registries' own hosts, that may be asked for a token over https and sent a registry's "
             "credentials."},
    {.name = "registry.wait",
     .kind = CONFIG_DURATION,
     .offset = MEMBER(registry.wait),
     .standard = "500ms",
     .minimum = 10 * MILLISECOND,
     .maximum = 10 * SECOND,
     .help = "How long a batch waits for registries, and at most 10 ms for one that did not answer the last time; what is not "
             "answered by then is asked again later."},
    {.name = "registry.per-registry",
     .kind = CONFIG_NUMBER,
     .offset = MEMBER(registry.per_registry),
     .standard = "16",
     .minimum = 1,
     .maximum = 256,
     .help = "The most requests of one lane to one registry at once."},
    {.name = "registry.total",
     .kind = CONFIG_NUMBER,
     .offset = MEMBER(registry.total),
     .standard = "64",
     .minimum = 4,
     .maximum = 1024,
     .help = "The most requests of one lane to all registries at once."},
};
const size_t config_key_count = sizeof config_keys / sizeof *config_keys;

void config_key_form(const struct config_key *key, char *to, size_t room) {
    char from[24], until[24];
    switch (key->kind) {
    case CONFIG_NUMBER:
        (void)snprintf(to, room, "a number from %" PRId64 " to %" PRId64, key->minimum, key->maximum);
        return;
    case CONFIG_DURATION:
        text_duration(from, sizeof from, key->minimum);
        text_duration(until, sizeof until, key->maximum);
        (void)snprintf(to, room, "a duration from %s to %s, as 500ms, 30s, 5m", from, until);
        return;
    case CONFIG_CHOICE:
        (void)snprintf(to, room, "one of %s", key->form);
        return;
    case CONFIG_TEXT:
        (void)snprintf(to, room, "%s", key->form);
        return;
    }
}

static bool is_choice(const char *words, struct slice text) {
    for (const char *word = words; *word;) {
        size_t n = strcspn(word, ",");
        if (slice_equal(slice_of(word, n), text)) return true;
        word += n + strspn(word + n, ", ");
    }
    return false;
}

int config_key_set(const struct config_key *key, void *config, struct slice text, struct error *error) {
    void *member = (char *)config + key->offset;
    uint64_t number = 0;
    int64_t duration = 0;
    bool fits = false;
    switch (key->kind) {
    case CONFIG_NUMBER:
        fits = text_parse_number(text, (uint64_t)key->maximum, &number) && number >= (uint64_t)key->minimum;
        break;
    case CONFIG_DURATION:
        fits = text_parse_duration(text, &duration) && duration >= key->minimum && duration <= key->maximum;
        break;
    case CONFIG_CHOICE:
        fits = is_choice(key->form, text);
        break;
    case CONFIG_TEXT:
        fits = text.n <= (size_t)key->maximum && key->fits(text);
        break;
    }
    if (!fits) {
        char form[300];
        config_key_form(key, form, sizeof form);
        if (key->secret) return error_set(error, ERROR_INPUT, "config-invalid", "%s must be %s", key->name, form);
        return error_set(error, ERROR_INPUT, "config-invalid", "%s must be %s, not '%.*s'", key->name, form,
                         (int)(text.n < 100 ? text.n : 100), text.p);
    }
    if (key->kind == CONFIG_NUMBER)
        *(uint32_t *)member = (uint32_t)number;
    else if (key->kind == CONFIG_DURATION)
        *(int64_t *)member = duration;
    else
        *(const char **)member = text.p;
    return 0;
}

/* Properties on which the guarantees rest, or that have a key of their own. */
static const struct {
    const char *name, *why;
} kept[] = {
    {"bootstrap.servers", "set kafka.bootstrap-servers"},
    {"metadata.broker.list", "set kafka.bootstrap-servers"},
    {"group.id", "set worker.group"},
    {"group.instance.id", "it is made of worker.name and the lane's number"},
    {"group.protocol", "lanes need the classic protocol"},
    {"group.remote.assignor", "a lane needs the same partitions of both topics, which only 'range' gives"},
    {"partition.assignment.strategy", "a lane needs the same partitions of both topics, which only 'range' gives"},
    {"isolation.level", "what was not committed must never be read as a result"},
    {"transactional.id", "it is drawn anew by each process and fenced by its successor"},
    {"enable.idempotence", "without it a retry could publish twice"},
    {"acks", "a record is acknowledged only when all replicas have it"},
    {"request.required.acks", "a record is acknowledged only when all replicas have it"},
    {"enable.auto.commit", "the position lives in Postgres, not in Kafka"},
    {"auto.commit.enable", "the position lives in Postgres, not in Kafka"},
    {"auto.commit.interval.ms", "the position lives in Postgres, not in Kafka"},
    {"enable.auto.offset.store", "the position lives in Postgres, not in Kafka"},
    {"offset.store.method", "the position lives in Postgres, not in Kafka"},
    {"auto.offset.reset", "a position that Kafka no longer has must stop the shard, not skip records"},
    {"partitioner", "a project's partition must be the same for every client (murmur2_random)"},
    {"delivery.report.only.error", "every acknowledgement is counted"},
    {"enable.partition.eof", "positions pass the ends of logs"},
};

const char *config_property_refusal(struct slice name) {
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (slice_is(name, kept[i].name)) return kept[i].why;
    bool begins_well = name.n && name.n <= 100 && name.p[0] >= 'a' && name.p[0] <= 'z';
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] >= 'A' && name.p[i] <= 'Z') begins_well = false;
    return begins_well && is_word(name, "._-") ? NULL : "it is no name of a librdkafka property";
}

bool config_property_kept(size_t i, const char **ret_name, const char **ret_why) {
    if (i >= sizeof kept / sizeof *kept) return false;
    *ret_name = kept[i].name;
    *ret_why = kept[i].why;
    return true;
}

/* Also what is none, but looks as if it held one: a name that is misspelt is refused by librdkafka, after it was shown. */
bool config_property_is_secret(struct slice name) {
    static const char *const words[] = {"password", "passphrase", "secret"};
    static const char *const secret[] = {"ssl.key.pem", "sasl.oauthbearer.config", "sasl.oauthbearer.assertion.private.key.pem"};
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++)
        if (slice_is(name, secret[i])) return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (name.n && memmem(name.p, name.n, words[i], strlen(words[i]))) return true;
    return false;
}
