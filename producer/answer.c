#include "answer.h"

#include "command.h"
#include "output.h"

#define TYPE_WAITING "dev.sluice.promotion.waiting.v1"
#define TYPE_EVALUATED "dev.sluice.promotion.evaluated.v1"
#define TYPE_DUPLICATE "dev.sluice.event.duplicate.v1"
#define TYPE_REFUSED "dev.sluice.event.refused.v1"

static const struct json_limits limits = {.bytes = KAFKA_OUTPUT_BYTES_MAX, .depth = 64, .values = 200000};

/* ---- reading ---- */

/* Before the whole document is read: does the text occur in it at all? */
static bool mentions(struct slice value, struct slice text) {
    return text.n && value.n >= text.n && memmem(value.p, value.n, text.p, text.n) != NULL;
}

/* Says an answer something else than what was asked? Refusals and duplicates say nothing of it. */
static bool differs(struct slice said, struct slice asked) { return said.p && asked.p && !slice_equal(said, asked); }

static bool is_for(const struct json *data, const struct asker *asker) {
    const struct json *request = json_get(data, "request");
    if (asker->project.p && !slice_equal(json_get_text(data, "project"), asker->project)) return false;
    if (differs(json_get_text(json_get(data, "release"), "gitSha"), asker->git_sha) ||
        differs(json_get_text(data, "environment"), asker->environment) ||
        differs(json_get_text(request, "requester"), asker->requester))
        return false;
    if (asker->promotion.p && slice_equal(json_get_text(data, "promotionId"), asker->promotion)) return true;
    return asker->id.p && slice_equal(json_get_text(request, "id"), asker->id) &&
           slice_equal(json_get_text(request, "source"), asker->source);
}

/* Does it stand in a document as it is? Characters that JSON escapes do not. */
static bool is_plain(struct slice id) {
    for (size_t i = 0; i < id.n; i++)
        if ((unsigned char)id.p[i] < ' ' || id.p[i] == '"' || id.p[i] == '\\') return false;
    return true;
}

static bool is_true(const struct json *value) { return value && value->kind == JSON_BOOLEAN && value->boolean; }

int answer_read(struct arena *arena, const struct kafka_record *record, const struct asker *asker, struct answer *ret_answer,
                struct error *error) {
    struct slice type = kafka_record_header(record, "ce_type");
    if (!slice_starts(type, SLICE("dev.sluice."))) return 0;
    bool possible = mentions(record->value, asker->promotion) ||
                    (asker->id.p && (!is_plain(asker->id) || mentions(record->value, asker->id)));
    if (!possible) return 0;
    struct slice text = arena_copy(arena, record->value), kept_type = arena_copy(arena, type);
    const struct json *data;
    struct error why = {0};
    if (!text.p || !kept_type.p) return error_memory(error);
    if (json_read_strict(arena, text, &limits, &data, &why)) return why.kind == ERROR_INTERNAL ? error_memory(error) : 0;
    if (!is_for(data, asker)) return 0;
    const struct json *original = json_get(data, "original");
    *ret_answer = (struct answer){.type = kept_type, .data = data, .final = is_true(json_get(data, "final"))};
    if (slice_is(type, TYPE_DUPLICATE)) ret_answer->final = is_true(json_get(original, "final"));
    return 1;
}

bool answer_is_refusal(const struct answer *answer) { return slice_is(answer->type, TYPE_REFUSED); }

int answer_status(const struct answer *answer) {
    const struct json *said = answer->data;
    if (slice_is(answer->type, TYPE_DUPLICATE)) said = json_get(answer->data, "original");
    struct slice outcome = json_get_text(said, "outcome");
    if (slice_is(outcome, "evaluated")) outcome = json_get_text(said, "wouldBe");
    return slice_is(outcome, "promoted") || slice_is(outcome, "verified") ? EXIT_YES : EXIT_NO;
}

/* ---- printing: whoever may write to the topic may not steer a terminal by it ---- */

static void print_condition(FILE *to, const struct json *condition) {
    struct slice status = json_get_text(condition, "status");
    bool met = slice_is(status, "met");
    enum output_colour colour = met ? OUTPUT_GREEN : slice_is(status, "failed") ? OUTPUT_RED : OUTPUT_YELLOW;
    fprintf(to, "  %s", output_colour(to, colour));
    output_safe(to, status);
    fprintf(to, "%*s%s ", status.n < 6 ? (int)(6 - status.n) : 0, "", output_colour(to, OUTPUT_PLAIN));
    output_safe(to, json_get_text(condition, "type"));
    (void)fputc(' ', to);
    output_safe(to, json_get_text(condition, "subject"));
    fputs(": ", to);
    output_safe(to, json_get_text(condition, "code"));
    struct slice message = json_get_text(condition, "message");
    if (message.n) fputs(", ", to);
    output_safe(to, message);
    (void)fputc('\n', to);
}

static const struct json *find_condition(const struct answer *answer, const struct json *like) {
    const struct json *list = answer ? json_get(answer->data, "conditions") : NULL;
    for (const struct json *condition = list ? list->first : NULL; condition; condition = condition->next)
        if (slice_equal(json_get_text(condition, "type"), json_get_text(like, "type")) &&
            slice_equal(json_get_text(condition, "subject"), json_get_text(like, "subject")))
            return condition;
    return NULL;
}

static bool says_the_same(const struct json *a, const struct json *b) {
    return slice_equal(json_get_text(a, "status"), json_get_text(b, "status")) &&
           slice_equal(json_get_text(a, "code"), json_get_text(b, "code"));
}

void answer_print_waiting(FILE *to, const struct answer *answer, const struct answer *before) {
    const struct json *list = json_get(answer->data, "conditions");
    struct slice environment = json_get_text(answer->data, "environment"), limit = json_get_text(answer->data, "expiresAt");
    if (slice_is(answer->type, TYPE_DUPLICATE)) {
        fputs("duplicate: this request was sent before and still waits\n", to);
        return;
    }
    if (before && !slice_is(before->type, TYPE_WAITING)) before = NULL;
    fputs(before ? "still waiting to go to " : "waiting to go to ", to);
    output_safe(to, environment);
    if (!before && limit.p) fputs(", until ", to);
    if (!before) output_safe(to, limit);
    fputs(before ? "; what has changed:\n" : "; what is missing:\n", to);
    for (const struct json *condition = list ? list->first : NULL; condition; condition = condition->next) {
        const struct json *last = find_condition(before, condition);
        bool met = slice_is(json_get_text(condition, "status"), "met");
        if (last ? !says_the_same(last, condition) : !met) print_condition(to, condition);
    }
    (void)fflush(to);
}

/* "promoted: acme/shop 4f1c... to prod" */
static void print_headline(FILE *to, const struct answer *answer, struct slice outcome) {
    const struct json *release = json_get(answer->data, "release");
    struct slice environment = json_get_text(answer->data, "environment"), code = json_get_text(answer->data, "code");
    bool good = answer_status(answer) == EXIT_YES;
    fputs(output_colour(to, good ? OUTPUT_GREEN : OUTPUT_RED), to);
    output_safe(to, outcome);
    fprintf(to, "%s: ", output_colour(to, OUTPUT_PLAIN));
    output_safe(to, json_get_text(answer->data, "project"));
    struct slice sha = json_get_text(release, "gitSha");
    if (sha.n) fputs(" ", to);
    output_safe(to, sha);
    if (environment.n) fputs(" to ", to);
    output_safe(to, environment);
    if (code.n && !slice_equal(code, outcome)) {
        fputs(", ", to);
        output_safe(to, code);
    }
    struct slice message = json_get_text(answer->data, "message");
    if (message.n) fputs(": ", to);
    output_safe(to, message);
    (void)fputc('\n', to);
}

static void print_refused(FILE *to, const struct answer *answer) {
    struct slice path = json_get_text(answer->data, "path");
    fprintf(to, "%srefused%s: ", output_colour(to, OUTPUT_RED), output_colour(to, OUTPUT_PLAIN));
    output_safe(to, json_get_text(answer->data, "code"));
    fputs(": ", to);
    output_safe(to, json_get_text(answer->data, "message"));
    if (path.n) fputs(" at ", to);
    output_safe(to, path);
    (void)fputc('\n', to);
}

static void print_duplicate(FILE *to, const struct answer *answer) {
    const struct json *original = json_get(answer->data, "original");
    struct slice outcome = json_get_text(original, "outcome"), code = json_get_text(original, "code");
    if (!outcome.n) outcome = SLICE("refused");
    bool good = answer_status(answer) == EXIT_YES;
    fprintf(to, "duplicate: this was sent before, and the answer was %s", output_colour(to, good ? OUTPUT_GREEN : OUTPUT_RED));
    output_safe(to, outcome);
    fputs(output_colour(to, OUTPUT_PLAIN), to);
    if (code.n && !slice_equal(code, outcome)) {
        fputs(", ", to);
        output_safe(to, code);
    }
    (void)fputc('\n', to);
}

void answer_print_final(FILE *to, const struct answer *answer) {
    if (slice_is(answer->type, TYPE_DUPLICATE)) {
        print_duplicate(to, answer);
        return;
    }
    if (answer_is_refusal(answer)) {
        print_refused(to, answer);
        return;
    }
    struct slice outcome = json_get_text(answer->data, "outcome");
    bool evaluated = slice_is(answer->type, TYPE_EVALUATED);
    if (evaluated) fputs("dry run, would be ", to);
    print_headline(to, answer, evaluated ? json_get_text(answer->data, "wouldBe") : outcome);
    const struct json *list = json_get(answer->data, "conditions");
    bool all = evaluated || answer_status(answer) != EXIT_YES; /* what was promoted met all of them */
    for (const struct json *condition = list ? list->first : NULL; condition && all; condition = condition->next)
        if (evaluated || !slice_is(json_get_text(condition, "status"), "met")) print_condition(to, condition);
}
