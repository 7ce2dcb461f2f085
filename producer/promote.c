/* sluice promote: asks for a release in an environment. */
#include "command.h"
#include "identity.h"
#include "ledger.h"
#include "output.h"
#include "publish.h"
#include "text.h"

enum { REASON_MAX = 1024, REQUESTER_MAX = 255, MEMORY = 4 * 1024 * 1024 };

static const char about[] =
    "Asks for a release in an environment, and prints the promotion's id. The workers decide: the promotion goes through when "
    "all conditions of the policy are met, waits for those that may still be, and is rejected when one never will.\n"
    "\n"
    "Exit status: 0 Kafka has the request, 2 it does not, or that could not be told. With --wait: 0 promoted (a dry run: would "
    "be), 1 any other final answer, 2 could not tell, 3 no final answer within --timeout, 130 Ctrl-C; the request stays in "
    "place.";
static const char examples[] = "sluice promote --release-ref \"$GITHUB_SHA\" --target-env staging --wait\n"
                               "sluice promote --project acme/shop --release-ref 4f1c... --target-env prod --reason \"INC-42\"";

struct promote {
    struct publication publication;
    const char *sha, *environment, *requester, *reason, *expires_at;
    bool dry_run;
};

static void describe(const struct publication *publication, struct json_object *document) {
    output_set_string(document, "promotionId", publication->promotion);
}

static int check(const struct promote *promote) {
    const struct usage *usage = promote->publication.usage;
    instant at;
    if (!text_is_git_sha(slice_str(promote->sha)))
        return options_wrong(usage, "--release-ref '%s' is no full git SHA of 40 or 64 lower-case hex digits", promote->sha);
    if (!text_is_environment(slice_str(promote->environment)))
        return options_wrong(usage, "--target-env '%s' is no name of an environment, as prod", promote->environment);
    if (!*promote->requester || strlen(promote->requester) > REQUESTER_MAX || !text_is_utf8(slice_str(promote->requester)))
        return options_wrong(usage, "--requester must be 1 to %d bytes of UTF-8", REQUESTER_MAX);
    if (promote->reason && (strlen(promote->reason) > REASON_MAX || !text_is_utf8(slice_str(promote->reason))))
        return options_wrong(usage, "--reason must be at most %d bytes of UTF-8", REASON_MAX);
    if (promote->expires_at && !text_parse_instant(slice_str(promote->expires_at), &at))
        return options_wrong(usage, "--expires-at '%s' is no instant, as 2026-03-01T10:00:00Z", promote->expires_at);
    return publish_check(&promote->publication);
}

static void write_member(struct buf *buf, const char *name, const char *text) {
    if (!text) return;
    buf_print(buf, "%s\"%s\":", buf->n > 1 ? "," : "", name);
    json_write_string(buf, slice_str(text));
}

static void write_data(struct buf *buf, const struct promote *promote) {
    buf_char(buf, '{');
    write_member(buf, "releaseRef", promote->sha);
    write_member(buf, "targetEnv", promote->environment);
    write_member(buf, "requester", promote->requester);
    write_member(buf, "reason", promote->reason);
    if (promote->dry_run) buf_str(buf, ",\"dryRun\":true");
    write_member(buf, "expiresAt", promote->expires_at);
    buf_char(buf, '}');
}

static int run(struct promote *promote, struct arena *arena) {
    struct publication *publication = &promote->publication;
    struct publish_options *options = &publication->options;
    unsigned char key[16];
    publication->id = options->id ? slice_str(options->id) : identity_id(arena, promote->environment);
    publication->source = options->source ? slice_str(options->source) : identity_source(arena);
    if (!promote->requester) promote->requester = identity_requester(arena).p;
    if (!publication->id.p || !publication->source.p || !promote->requester) return output_starved();
    int status = check(promote);
    if (status) return status;
    publication->git_sha = slice_str(promote->sha);
    publication->environment = slice_str(promote->environment);
    publication->requester = slice_str(promote->requester);
    ledger_event_key(key, slice_str(options->project), publication->source, publication->id);
    text_base32(publication->promotion, key);
    publication->headline = arena_print(arena, "promotion %s", publication->promotion).p;
    publication->find_again = arena_print(arena, "sluice wait %s --project %s", publication->promotion, options->project).p;
    struct buf data;
    buf_init(&data, KAFKA_INPUT_BYTES_MAX);
    write_data(&data, promote);
    publication->data = buf_slice(&data);
    if (!publication->headline || !publication->find_again || data.failed) {
        status = output_starved();
    } else {
        status = publish(publication);
    }
    buf_release(&data);
    return status;
}

int command_promote(int argc, char **argv) {
    struct promote promote = {.publication = {.topic = KAFKA_REQUESTS,
                                              .type = "dev.sluice.promotion.requested.v1",
                                              .describe = describe,
                                              .options = {.timeout = PUBLISH_TIMEOUT_DEFAULT}}};
    const struct option options[] = {
        {"release-ref", "SHA", OPTION_TEXT, &promote.sha, .help = "the release: the full git SHA", .required = true},
        {"target-env", "ENV", OPTION_TEXT, &promote.environment, .help = "the environment, as the policy names it",
         .required = true},
        {"requester", "ACCOUNT", OPTION_TEXT, &promote.requester,
         .help = "who asks; else github:$GITHUB_ACTOR_ID, gitlab:$GITLAB_USER_ID, or user:<login>"},
        {"reason", "TEXT", OPTION_TEXT, &promote.reason, .help = "why, for those who read the history"},
        {"expires-at", "TIME", OPTION_TEXT, &promote.expires_at, .help = "wait no longer than until then (RFC 3339)"},
        {"dry-run", NULL, OPTION_FLAG, &promote.dry_run, .help = "say how the conditions stand now, and change nothing"},
        PUBLISH_OPTIONS(&promote.publication.options, "promotionId"),
    };
    const struct usage usage = {"promote", "--release-ref SHA --target-env ENV [OPTION...]", about, examples, OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    promote.publication.usage = &usage;
    struct arena arena;
    arena_init(&arena, MEMORY);
    status = run(&promote, &arena);
    arena_release(&arena);
    return status;
}
