/* The reference of the configuration, from the table of its keys. */
#include "config.h"
#include "config_keys.h"

static void put_variable(struct buf *to, const char *key) {
    buf_str(to, "SLUICE_");
    for (; *key; key++)
        buf_char(to, *key == '.' || *key == '-' ? '_' : *key >= 'a' && *key <= 'z' ? (char)(*key - 'a' + 'A') : *key);
}

static void put_key(struct buf *to, const struct config_key *key, bool markdown) {
    char form[300];
    config_key_form(key, form, sizeof form);
    buf_print(to, markdown ? "### `%s`\n\n%s\n\n- variable: `" : "%s\n    %s\n    variable: ", key->name, key->help);
    put_variable(to, key->name);
    if (key->secret) {
        buf_str(to, markdown ? "`, or `" : ", or ");
        put_variable(to, key->name);
        buf_str(to, "_FILE");
    }
    buf_print(to, markdown ? "`\n- value: %s\n- default: %s\n\n" : "\n    value: %s\n    default: %s\n\n", form,
              key->standard ? key->standard : "none");
}

static void put_kept(struct buf *to, bool markdown) {
    const char *name, *why;
    for (size_t i = 0; config_property_kept(i, &name, &why); i++)
        buf_print(to, markdown ? "- `%s`: %s\n" : "    %-32s %s\n", name, why);
}

void config_reference(struct buf *to, bool markdown) {
    buf_str(to, markdown ? "## Configuration\n\n" : "");
    buf_str(
        to,
        "One YAML file for sluice and sluice-worker: --config FILE, else SLUICE_CONFIG, ./sluice.yaml, /etc/sluice/sluice.yaml.\n"
        "Key a.b-c stands in it as 'b-c:' below 'a:', and is also the variable SLUICE_A_B_C; a secret may be in the file that\n"
        "SLUICE_A_B_C_FILE names. The environment goes before the file, the file before the default; an empty variable\n"
        "counts as unset.\n\n");
    for (size_t i = 0; i < config_key_count; i++) put_key(to, &config_keys[i], markdown);
    buf_str(to, markdown ? "### `kafka.<property>`\n\n" : "kafka.<property>\n    ");
    buf_str(
        to,
        "Any other property of librdkafka, as kafka.security.protocol or kafka.sasl.password; the variable has '_' for '.':\n");
    buf_str(to, markdown ? "`SLUICE_KAFKA_SASL_PASSWORD`" : "    SLUICE_KAFKA_SASL_PASSWORD");
    buf_str(to, markdown ? ". Not these, on which the guarantees rest:\n\n" : ". Not these, on which the guarantees rest:\n");
    put_kept(to, markdown);
}
