/* What CI and operators send during a run: builds and requests of several projects, sent again, changed under the same id, on
 * wrong partitions, broken, deadly. Each event knows what is to become of it. */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include "policies.h"
#include "record.h"
#include "world.h"

enum { PROJECTS = 6, RELEASES = 4, VARIANTS = 4, NOWHERE = ENVIRONMENTS };

enum expect {
    EXPECT_DEAD,    /* no CloudEvent */
    EXPECT_REFUSED, /* by decode, with `code` */
    EXPECT_BUILD,
    EXPECT_REQUEST
};

struct artifact_facts {
    const char *name;
    const char *type;
    int host; /* -1: it has no URI */
    struct slice digest;
};

/* One build of a release: variant 0 the usual one, 1 a run again (another timestamp), 2 with other artifacts, 3 signed. */
struct release_facts {
    struct slice git_sha;
    struct artifact_facts artifacts[2];
    size_t artifact_count;
};

struct event {
    int number;
    micros at;
    enum expect expect;
    const char *code;
    int project, release, variant, environment;
    bool dry_run, kills, refused_by_store, on_foreign_partition, binary;
    instant time, expires_at;
    int identity;            /* the number of the first event of this id */
    int content;             /* distinguishes contents of one id */
    unsigned markers_before; /* its producer upstream is transactional: offsets before it that have no record, */
    bool marker_behind;      /* and one behind it, a little later */
    enum input_topic topic;
    uint32_t shard;
    uint64_t offset;
    bool sent;
    struct record record;
    unsigned char key[16];
};

extern struct event *events;
extern size_t event_count;

void workload_begin(void);
micros workload_ends(void);
/* The event of that record, or NULL. */
const struct event *workload_at(uint32_t shard, enum input_topic topic, uint64_t offset);
/* The first offset from there on that has a record, or the end. */
uint64_t workload_next(uint32_t shard, enum input_topic topic, uint64_t offset);
bool workload_is_refused_by_store(uint32_t shard, enum input_topic topic, uint64_t offset);
/* Nothing more is sent to it: what it held is lost. */
void workload_close(enum input_topic topic, uint32_t shard);
bool workload_is_deadly(struct slice value);

const char *project_name(int project);
bool project_is_beta(int project);
/* -1: none of ours. */
int project_of(struct slice name);
int release_of(int project, struct slice git_sha);
const struct release_facts *release_facts(int project, int release, int variant);
/* The exact bytes of its manifest. */
struct slice workload_manifest(int project, int release, int variant);

#endif
