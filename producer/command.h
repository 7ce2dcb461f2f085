/* The commands of `sluice`: noun, verb, and the function that does it. One file a command (or a noun's few).
 *
 * A command parses its own arguments, prints its document on stdout and everything else on stderr, and returns the exit
 * status: 0 yes, 1 no, 2 could not tell, 3 timed out waiting, 130 Ctrl-C. Whether stdout could be written is looked at by main.
 */
#ifndef SLUICE_COMMAND_H
#define SLUICE_COMMAND_H

enum { EXIT_YES = 0, EXIT_NO = 1, EXIT_COULD_NOT_TELL = 2, EXIT_TIMED_OUT = 3, EXIT_INTERRUPTED = 130 };

/* `argv[0]` is the command's last word; argc counts it. */
typedef int command_function(int argc, char **argv);

/* noun, verb ("" for none), function, one line for `sluice --help` */
#define COMMANDS(X)                                                                                                              \
    X("build-complete", "", command_build_complete, "publish a release's manifest, so that it can be promoted")                  \
    X("promote", "", command_promote, "ask for a release in an environment")                                                     \
    X("wait", "", command_wait, "follow a promotion to its final answer")                                                        \
    X("status", "", command_status, "show what each environment has, and what waits for what")                                   \
    X("release", "show", command_release_show, "show a release, its manifest, and where it was promoted")                        \
    X("policy", "check", command_policy_check, "say whether a policy is right, and if not, where and why not")                   \
    X("policy", "apply", command_policy_apply, "put a policy in force")                                                          \
    X("policy", "show", command_policy_show, "print the policy that is in force")                                                \
    X("audit", "verify", command_audit_verify, "recompute the ledger's hash chains and compare them with what was published")    \
    X("topics", "create", command_topics_create, "create the topics on Kafka")                                                   \
    X("topics", "check", command_topics_check, "say whether the topics on Kafka are as they must be")                            \
    X("shard", "list", command_shard_list, "show how every shard stands")                                                        \
    X("shard", "show", command_shard_show, "show all that is known of a shard")                                                  \
    X("shard", "resume", command_shard_resume, "let a stopped shard go on, and say why")                                         \
    X("dead-letter", "list", command_dead_letter_list, "list the records that were no events")                                   \
    X("dead-letter", "show", command_dead_letter_show, "show one of them whole")                                                 \
    X("db", "migrate", command_db_migrate, "make the database, or bring it to what this program needs")                          \
    X("db", "status", command_db_status, "show the installation and its migrations")                                             \
    X("manifest", "generate", command_manifest_generate, "write release-manifest.json from what CI knows")                       \
    X("manifest", "verify", command_manifest_verify, "check a release manifest, its integrity and its bundle")                   \
    X("schema", "list", command_schema_list, "list the built-in JSON Schemas")                                                   \
    X("schema", "print", command_schema_print, "print a built-in JSON Schema")                                                   \
    X("schema", "validate", command_schema_validate, "check JSON files against a JSON Schema (draft-07)")                        \
    X("config", "", command_config, "print the configuration, and where each value comes from")

#define COMMAND_DECLARE(noun, verb, function, help) command_function function;
COMMANDS(COMMAND_DECLARE)
#undef COMMAND_DECLARE

#endif
