/* What the commands of `sluice policy` share. */
#ifndef SLUICE_POLICY_FILE_H
#define SLUICE_POLICY_FILE_H

#include "files.h"
#include "policy.h"

/* Says on stderr what is wrong with the policy in that file, and shows the line. */
void policy_file_refuse(const char *path, struct slice text, const struct error *error);

#endif
