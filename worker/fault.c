#include "fault.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static char wanted[64];
static atomic_long left;

void fault_open(void) {
    const char *value = getenv("SLUICE_FAULT");
    size_t length = value ? strlen(value) : 0;
    if (!length || length >= sizeof wanted) return;
    memcpy(wanted, value, length + 1);
    char *colon = strchr(wanted, ':');
    atomic_store(&left, colon ? strtol(colon + 1, NULL, 10) : 1);
    if (colon) *colon = '\0';
}

void fault_point(const char *name) {
    if (!wanted[0] || strcmp(wanted, name) != 0) return;
    if (atomic_fetch_sub(&left, 1) != 1) return;
    const char *once = getenv("SLUICE_FAULT_FILE");
    if (once && open(once, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600) < 0) return;
    raise(SIGKILL);
}
