#include "identity.h"

#include "digest.h"
#include "text.h"

#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

/* NULL when it is not set or empty. */
static const char *variable(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static struct slice random_uuid(struct arena *arena) {
    unsigned char bytes[16];
    char hex[33] = "";
    digest_random(bytes, sizeof bytes);
    bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40); /* RFC 4122, section 4.4: version 4 */
    bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
    text_hex(hex, bytes, sizeof bytes);
    return arena_print(arena, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

/* GitLab has no attempt: a job that is run again has another id. */
static struct slice ci_id(struct arena *arena) {
    const char *run = variable("GITHUB_RUN_ID"), *attempt = variable("GITHUB_RUN_ATTEMPT"), *job = variable("GITHUB_JOB");
    if (run) return arena_print(arena, "%s-%s-%s", run, attempt ? attempt : "1", job ? job : "job");
    const char *pipeline = variable("CI_PIPELINE_ID"), *job_id = variable("CI_JOB_ID");
    return pipeline && job_id ? arena_print(arena, "%s-%s", pipeline, job_id) : (struct slice){0};
}

struct slice identity_id(struct arena *arena, const char *environment) {
    bool ci = variable("GITHUB_RUN_ID") || (variable("CI_PIPELINE_ID") && variable("CI_JOB_ID"));
    struct slice id = ci ? ci_id(arena) : random_uuid(arena);
    return ci && environment && id.p ? arena_print(arena, "%s-%s", id.p, environment) : id;
}

struct slice identity_source(struct arena *arena) {
    const char *server = variable("GITHUB_SERVER_URL"), *repository = variable("GITHUB_REPOSITORY"),
               *run = variable("GITHUB_RUN_ID"), *pipeline = variable("CI_PIPELINE_URL");
    if (server && repository && run) return arena_print(arena, "%s/%s/actions/runs/%s", server, repository, run);
    if (pipeline) return arena_print(arena, "%s", pipeline);
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) || !*host) return arena_print(arena, "/sluice/cli/localhost");
    return arena_print(arena, "/sluice/cli/%s", host);
}

struct slice identity_requester(struct arena *arena) {
    const char *github = variable("GITHUB_ACTOR_ID"), *gitlab = variable("GITLAB_USER_ID");
    if (github) return arena_print(arena, "github:%s", github);
    if (gitlab) return arena_print(arena, "gitlab:%s", gitlab);
    const struct passwd *login = getpwuid(getuid());
    if (login && *login->pw_name) return arena_print(arena, "user:%s", login->pw_name);
    return arena_print(arena, "user:%ld", (long)getuid());
}
