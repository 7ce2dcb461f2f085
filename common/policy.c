#include "policy.h"

#include "suggest.h"
#include "yaml_tree.h"

#include <assert.h>
#include <stdio.h>

enum {
    TREE_MAX = 64 * 1024 * 1024,
    VALUES_MAX = 100000,
    REGISTRIES_MAX = 1000,
    PROJECTS_MAX = 10000,
    ENVIRONMENTS_MAX = 64, /* of one project */
};

static const int64_t SECOND = 1000000, SEVEN_DAYS = 7 * 86400 * (int64_t)1000000;

struct compiler {
    struct arena *arena;
    struct error *error;
    struct policy *policy;
    struct policy_project *project; /* whose environments are being read */
};

/* One key of a mapping, and how its value is read into `into`. */
struct field {
    const char *key;
    int (*read)(struct compiler *compiler, const struct yaml *value, void *into);
    bool required;
};

#define REFUSE(at, ...) yaml_error(compiler->error, (at), "policy-invalid", __VA_ARGS__)
#define REFUSE_KEY(at, ...) yaml_key_error(compiler->error, (at), "policy-invalid", __VA_ARGS__)
/* The first 100 bytes of a text, for a message. */
#define SHOWN(s) (int)((s).n < 100 ? (s).n : 100), (s).p

/* ---- reading ---- */

static int refuse_unknown(struct compiler *compiler, const struct yaml *member, const struct field *fields, size_t count,
                          const char *where) {
    const char *best = NULL;
    char known[200] = "";
    for (size_t i = 0; i < count; i++) {
        suggest_nearer(member->key, fields[i].key, &best);
        size_t n = strlen(known);
        (void)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", fields[i].key);
    }
    if (best) return REFUSE_KEY(member, "%s has no key '%.*s'; did you mean '%s'?", where, SHOWN(member->key), best);
    return REFUSE_KEY(member, "%s has no key '%.*s'; it has: %s", where, SHOWN(member->key), known);
}

/* `where` is "the policy", "a project": what the mapping is, for messages. */
static int read_fields(struct compiler *compiler, const struct yaml *mapping, const struct field *fields, size_t count,
                       const char *where, void *into) {
    if (yaml_is_null(mapping)) return REFUSE_KEY(mapping, "%s must not be empty; write {} when nothing is to be said", where);
    if (mapping->kind != YAML_MAPPING) return REFUSE(mapping, "%s must be keys with values, not %s", where, yaml_what(mapping));
    for (const struct yaml *member = mapping->first; member; member = member->next) {
        size_t i = 0;
        while (i < count && !slice_is(member->key, fields[i].key)) i++;
        if (i == count) return refuse_unknown(compiler, member, fields, count, where);
        if (fields[i].read(compiler, member, into) < 0) return -1;
    }
    for (size_t i = 0; i < count; i++)
        if (fields[i].required && !yaml_get(mapping, fields[i].key))
            return REFUSE(mapping, "%s needs the key '%s'", where, fields[i].key);
    return 0;
}
#define READ_FIELDS(compiler, mapping, fields, where, into)                                                                      \
    read_fields((compiler), (mapping), (fields), sizeof(fields) / sizeof *(fields), (where), (into))

static int read_text(struct compiler *compiler, const struct yaml *value, struct slice *ret_text) {
    if (value->kind != YAML_SCALAR || yaml_is_null(value) || !value->text.n)
        return REFUSE(value, "'%.*s' must be one text, not %s", SHOWN(value->key),
                      value->kind == YAML_SCALAR ? "nothing" : yaml_what(value));
    struct slice text = arena_copy(compiler->arena, value->text);
    if (!text.p) return error_memory(compiler->error);
    *ret_text = text;
    return 0;
}

static int read_boolean(struct compiler *compiler, const struct yaml *value, bool *ret) {
    return yaml_boolean(value, ret) ? 0 : REFUSE(value, "'%.*s' must be true or false", SHOWN(value->key));
}

/* A list of texts, each once, that `check` accepts. */
static int read_list(struct compiler *compiler, const struct yaml *value,
                     int (*check)(struct compiler *compiler, const struct yaml *element), struct slice **ret_texts,
                     size_t *ret_count) {
    if (value->kind != YAML_LIST)
        return REFUSE(value, "'%.*s' must be a list, as [a, b], not %s", SHOWN(value->key), yaml_what(value));
    struct slice *texts = ARENA_ARRAY(compiler->arena, struct slice, value->count);
    if (!texts) return error_memory(compiler->error);
    size_t count = 0;
    for (const struct yaml *element = value->first; element; element = element->next) {
        if (element->kind != YAML_SCALAR || yaml_is_null(element))
            return REFUSE(element, "'%.*s' must list texts, not %s", SHOWN(value->key), yaml_what(element));
        for (size_t i = 0; i < count; i++)
            if (slice_equal(texts[i], element->text))
                return REFUSE(element, "'%.*s' stands twice in '%.*s'; remove one", SHOWN(element->text), SHOWN(value->key));
        if (check(compiler, element) < 0) return -1;
        texts[count] = arena_copy(compiler->arena, element->text);
        if (!texts[count++].p) return error_memory(compiler->error);
    }
    *ret_texts = texts;
    *ret_count = count;
    return 0;
}

/* ---- registries ---- */

static int read_plain_http(struct compiler *compiler, const struct yaml *value, void *into) {
    return read_boolean(compiler, value, &((struct policy_registry *)into)->plain_http);
}

static int read_allow_private(struct compiler *compiler, const struct yaml *value, void *into) {
    return read_boolean(compiler, value, &((struct policy_registry *)into)->allow_private);
}

static const struct field registry_fields[] = {
    {"plain-http", read_plain_http, false},
    {"allow-private", read_allow_private, false},
};

/* host[:port] with the characters of a host name, an IPv4 address, or an IPv6 address in brackets. */
static bool is_host(struct slice text) {
    size_t at = 0, port = 0;
    bool bracket = text.n && text.p[0] == '[';
    if (bracket && ++at) {
        while (at < text.n && text.p[at] && strchr("0123456789abcdefABCDEF:.", text.p[at])) at++;
        if (at < 4 || at == text.n || text.p[at++] != ']') return false;
    } else {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-";
        while (at < text.n && text.p[at] && strchr(allowed, text.p[at])) at++;
        if (!at || at > 253 || text.p[0] == '.' || text.p[0] == '-') return false;
    }
    if (at == text.n) return true;
    if (text.p[at++] != ':' || at == text.n || text.n - at > 5) return false;
    for (; at < text.n; at++) {
        if (text.p[at] < '0' || text.p[at] > '9') return false;
        port = port * 10 + (size_t)(text.p[at] - '0');
    }
    return port > 0 && port <= 65535;
}

static int read_registries(struct compiler *compiler, const struct yaml *value, void *into) {
    struct policy *policy = into;
    if (value->kind != YAML_MAPPING) return REFUSE(value, "'registries' must be hosts with their settings, as 'ghcr.io: {}'");
    if (value->count > REGISTRIES_MAX) return REFUSE(value, "more than %d registries", REGISTRIES_MAX);
    policy->registries = ARENA_ARRAY(compiler->arena, struct policy_registry, value->count);
    if (!policy->registries) return error_memory(compiler->error);
    for (const struct yaml *member = value->first; member; member = member->next) {
        struct policy_registry *registry = &policy->registries[policy->registry_count];
        if (!is_host(member->key))
            return REFUSE_KEY(member,
                              "'%.*s' is no host; write it as in artifact URIs, without scheme and path: ghcr.io, host:5000",
                              SHOWN(member->key));
        registry->host = arena_copy(compiler->arena, member->key);
        if (!registry->host.p) return error_memory(compiler->error);
        policy->registry_count++;
        if (READ_FIELDS(compiler, member, registry_fields, "a registry", registry) < 0) return -1;
    }
    return 0;
}

/* ---- the gates of an environment: one row each ---- */

static int check_environment(struct compiler *compiler, const struct yaml *element) {
    const struct yaml *environment = element->above->above;
    if (slice_equal(element->text, environment->key))
        return REFUSE(element, "'%.*s' cannot come after itself", SHOWN(element->text));
    if (policy_environment(compiler->project, element->text)) return 0;
    const char *best = NULL;
    for (size_t i = 0; i < compiler->project->environment_count; i++)
        suggest_nearer(element->text, compiler->project->environments[i].name.p, &best);
    return REFUSE(element, "this project has no environment '%.*s'; %s%s", SHOWN(element->text),
                  best ? "did you mean " : "name one of its environments", best ? best : "");
}

static int read_after(struct compiler *compiler, const struct yaml *value, void *into) {
    struct policy_environment *environment = into;
    return read_list(compiler, value, check_environment, &environment->after, &environment->after_count);
}

static const struct field gates[] = {
    {"after", read_after, false},
};

/* ---- projects ---- */

/* Follows `after` from the environment at the end of `path`, which has `depth`; false when it leads back to one of them, and
 * then the path ends with that one and a NULL. */
static bool is_acyclic(const struct policy_project *project, const struct policy_environment **path, size_t depth, char *done) {
    const struct policy_environment *last = path[depth - 1];
    assert(last); /* read_after knows every name */
    if (done[last - project->environments]) return true;
    for (size_t i = 0; i < last->after_count; i++) {
        path[depth] = policy_environment(project, last->after[i]);
        path[depth + 1] = NULL;
        for (size_t j = 0; j < depth; j++)
            if (path[j] == path[depth]) return false;
        if (!is_acyclic(project, path, depth + 1, done)) return false;
    }
    done[last - project->environments] = 1;
    return true;
}

static int refuse_circle(struct compiler *compiler, const struct yaml *environments,
                         const struct policy_environment *const *path) {
    char way[300];
    size_t n = (size_t)snprintf(way, sizeof way, "%.*s", SLICE_ARG(path[0]->name));
    for (size_t i = 1; path[i] && n < sizeof way; i++)
        n += (size_t)snprintf(way + n, sizeof way - n, " after %.*s", SLICE_ARG(path[i]->name));
    const struct yaml *first = yaml_get(environments, path[0]->name.p);
    return REFUSE_KEY(first, "'after' leads in a circle, which nothing can ever pass: %s; remove one of them", way);
}

static int check_order(struct compiler *compiler, const struct yaml *environments, const struct policy_project *project) {
    char done[ENVIRONMENTS_MAX] = {0};
    for (size_t i = 0; i < project->environment_count; i++) {
        const struct policy_environment *path[ENVIRONMENTS_MAX + 2] = {&project->environments[i]};
        if (!is_acyclic(project, path, 1, done)) return refuse_circle(compiler, environments, path);
    }
    return 0;
}

static int read_environments(struct compiler *compiler, const struct yaml *value, void *into) {
    struct policy_project *project = into;
    if (value->kind != YAML_MAPPING)
        return REFUSE(value, "'environments' must be names with their gates, as 'staging: {after: [dev]}', not %s",
                      yaml_what(value));
    if (value->count > ENVIRONMENTS_MAX) return REFUSE(value, "more than %d environments in one project", ENVIRONMENTS_MAX);
    project->environments = ARENA_ARRAY(compiler->arena, struct policy_environment, value->count);
    if (!project->environments) return error_memory(compiler->error);
    for (const struct yaml *member = value->first; member; member = member->next) {
        struct policy_environment *environment = &project->environments[project->environment_count];
        if (!text_is_environment(member->key))
            return REFUSE_KEY(
                member, "'%.*s' is no name of an environment: a lower-case letter, then letters, digits and '-', at most 63",
                SHOWN(member->key));
        environment->name = arena_copy(compiler->arena, member->key);
        if (!environment->name.p) return error_memory(compiler->error);
        project->environment_count++;
    }
    compiler->project = project;
    struct policy_environment *environment = project->environments;
    for (const struct yaml *member = value->first; member; member = member->next)
        if (READ_FIELDS(compiler, member, gates, "an environment", environment++) < 0) return -1;
    return check_order(compiler, value, project);
}

static int read_match(struct compiler *compiler, const struct yaml *value, void *into) {
    struct policy_project *project = into;
    if (read_text(compiler, value, &project->match) < 0) return -1;
    bool fits = project->match.n <= 200;
    for (size_t i = 0; i < project->match.n; i++) {
        char c = project->match.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || !strchr("._-/*", c))) fits = false;
    }
    return fits ? 0
                : REFUSE(value, "'match' must be a project's name, or a pattern in which * stands for any characters, "
                                "of at most 200 letters, digits, '.', '_', '-', '/' and '*'");
}

static int read_unsigned(struct compiler *compiler, const struct yaml *value, void *into) {
    struct policy_project *project = into;
    project->unsigned_allowed = value->kind == YAML_SCALAR && slice_is(value->text, "allow");
    if (project->unsigned_allowed || (value->kind == YAML_SCALAR && slice_is(value->text, "refuse"))) return 0;
    return REFUSE(value, "'unsigned' must be allow or refuse");
}

static int check_type(struct compiler *compiler, const struct yaml *element) {
    static const char *const types[] = {"docker-image", "binary", "archive", "other"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (slice_is(element->text, types[i])) return 0;
    return REFUSE(element, "there are no artifacts of type '%.*s'; there are docker-image, binary, archive, other",
                  SHOWN(element->text));
}

static int read_unchecked_types(struct compiler *compiler, const struct yaml *value, void *into) {
    struct policy_project *project = into;
    return read_list(compiler, value, check_type, &project->unchecked_types, &project->unchecked_count);
}

static int read_waiting_limit(struct compiler *compiler, const struct yaml *value, void *into) {
    int64_t limit;
    if (value->kind != YAML_SCALAR || !text_parse_duration(value->text, &limit) || limit < SECOND || limit > SEVEN_DAYS)
        return REFUSE(value, "'waiting-limit' must be a duration from 1s to 7d, as 30m, 24h, 7d");
    ((struct policy_project *)into)->waiting_limit = limit;
    return 0;
}

static const struct field project_fields[] = {
    {"match", read_match, true},
    {"unsigned", read_unsigned, false},
    {"unchecked-types", read_unchecked_types, false},
    {"waiting-limit", read_waiting_limit, false},
    {"environments", read_environments, true},
};

static int read_projects(struct compiler *compiler, const struct yaml *value, void *into) {
    struct policy *policy = into;
    if (value->kind != YAML_LIST)
        return REFUSE(value, "'projects' must be a list, each beginning with '- match:', not %s", yaml_what(value));
    if (value->count > PROJECTS_MAX) return REFUSE(value, "more than %d projects", PROJECTS_MAX);
    policy->projects = ARENA_ARRAY(compiler->arena, struct policy_project, value->count);
    if (!policy->projects) return error_memory(compiler->error);
    for (const struct yaml *element = value->first; element; element = element->next) {
        struct policy_project *project = &policy->projects[policy->project_count++];
        project->waiting_limit = SEVEN_DAYS;
        if (READ_FIELDS(compiler, element, project_fields, "a project", project) < 0) return -1;
    }
    return 0;
}

static int read_version(struct compiler *compiler, const struct yaml *value, void *into) {
    (void)into;
    int64_t version;
    return yaml_number(value, 1, &version) && version == 1 ? 0
                                                           : REFUSE(value, "'version' must be 1; this program knows no other");
}

static const struct field policy_fields[] = {
    {"version", read_version, true},
    {"registries", read_registries, false},
    {"projects", read_projects, true},
};

int policy_parse(struct arena *arena, struct slice yaml, const struct policy **ret_policy, struct error *error) {
    const struct yaml_limits limits = {.bytes = POLICY_BYTES_MAX, .values = VALUES_MAX};
    struct arena tree;
    arena_init(&tree, TREE_MAX);
    struct compiler state = {.arena = arena, .error = error}, *compiler = &state;
    const struct yaml *root;
    int status = -1;
    if (yaml_read(&tree, yaml, &limits, &root, error) < 0) goto cleanup;
    state.policy = ARENA_NEW(arena, struct policy);
    if (!state.policy) {
        (void)error_memory(error);
        goto cleanup;
    }
    if (READ_FIELDS(compiler, root, policy_fields, "the policy", state.policy) < 0) goto cleanup;
    *ret_policy = state.policy;
    status = 0;
cleanup:
    arena_release(&tree);
    return status;
}

/* ---- asking ---- */

/* On a mismatch, the last `*` takes one more character and all behind it is tried again. */
bool policy_match(struct slice pattern, struct slice text) {
    size_t p = 0, t = 0, star = pattern.n, taken = 0;
    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            taken = t;
        } else if (p < pattern.n && pattern.p[p] == text.p[t]) {
            p++;
            t++;
        } else if (star < pattern.n) {
            p = star + 1;
            t = ++taken;
        } else
            return false;
    }
    while (p < pattern.n && pattern.p[p] == '*') p++;
    return p == pattern.n;
}

const struct policy_project *policy_project(const struct policy *policy, struct slice project) {
    for (size_t i = 0; i < policy->project_count; i++)
        if (policy_match(policy->projects[i].match, project)) return &policy->projects[i];
    return NULL;
}

const struct policy_environment *policy_environment(const struct policy_project *project, struct slice environment) {
    for (size_t i = 0; i < project->environment_count; i++)
        if (slice_equal(project->environments[i].name, environment)) return &project->environments[i];
    return NULL;
}

const struct policy_registry *policy_registry(const struct policy *policy, struct slice host) {
    for (size_t i = 0; i < policy->registry_count; i++)
        if (slice_equal(policy->registries[i].host, host)) return &policy->registries[i];
    return NULL;
}

bool policy_type_is_unchecked(const struct policy_project *project, struct slice artifact_type) {
    for (size_t i = 0; i < project->unchecked_count; i++)
        if (slice_equal(project->unchecked_types[i], artifact_type)) return true;
    return false;
}
