/* sluice config: what is configured, and by whom. */
#include "config.h"

#include "command.h"
#include "output.h"
#include "settings.h"

#include <stdio.h>

static const char about[] =
    "Prints the configuration as both programs see it, and where each value comes from: the environment goes before the file, "
    "the file before the default. Secrets are never shown.\n"
    "\n"
    "--reference explains every key, its variable, its range and its default, and needs no configuration.\n"
    "\n"
    "Exit status: 0 the configuration is right, 2 it is not.";

static int print_reference(bool markdown) {
    struct buf text;
    buf_init(&text, 1024 * 1024);
    config_reference(&text, markdown);
    bool whole = !text.failed;
    if (whole)
        (void)fwrite(text.p, 1, text.n, stdout);
    else
        output_error("memory is exhausted");
    buf_release(&text);
    return whole ? EXIT_YES : EXIT_COULD_NOT_TELL;
}

static void print_json(const struct config *config) {
    struct json_object *document = output_object(), *values = output_array();
    output_set_string(document, "file", config->file);
    for (size_t i = 0; i < config->value_count; i++) {
        const struct config_value *value = &config->values[i];
        struct json_object *entry = output_object();
        output_set_string(entry, "key", value->key);
        if (!value->secret) output_set_string(entry, "value", value->text);
        output_set_boolean(entry, "set", value->text != NULL);
        output_set_boolean(entry, "secret", value->secret);
        if (value->text) output_set_string(entry, "origin", value->origin);
        output_append(values, entry);
    }
    output_set(document, "values", values);
    output_print(document);
}

static void print_table(const struct config *config) {
    const char *dim = output_colour(stdout, OUTPUT_DIM), *plain = output_colour(stdout, OUTPUT_PLAIN);
    printf("%sfile: %s%s\n", dim, config->file ? config->file : "none", plain);
    for (size_t i = 0; i < config->value_count; i++) {
        const struct config_value *value = &config->values[i];
        const char *text = !value->text ? "" : value->secret ? "(secret)" : value->text;
        printf("%-26s %-32s %s%s%s\n", value->key, text, dim, value->text ? value->origin : "not set", plain);
    }
}

int command_config(int argc, char **argv) {
    const char *path = NULL;
    bool json = false, reference = false, markdown = false;
    const struct option options[] = {
        SETTINGS_OPTION(&path),
        {"reference", NULL, OPTION_FLAG, &reference, .help = "explain every key"},
        {"markdown", NULL, OPTION_FLAG, &markdown, .help = "with --reference: as Markdown"},
        {"json", NULL, OPTION_FLAG, &json, .help = "print {file, values [{key, value, set, secret, origin}]}"},
    };
    const struct usage usage = {"config", "[OPTION...]", about, "sluice config\nsluice config --reference | less",
                                OPTIONS(options)};
    int status;
    if (!options_parse(&usage, argc, argv, &status)) return status;
    if (reference && json) return options_wrong(&usage, "--reference and --json exclude each other");
    if (reference) return print_reference(markdown);
    if (markdown) return options_wrong(&usage, "--markdown is for --reference");

    struct config config;
    status = settings_load(&config, path);
    if (status) return status;
    if (json)
        print_json(&config);
    else
        print_table(&config);
    size_t at = 0;
    for (const char *stray; (stray = config_stray(NULL, &at));)
        (void)fprintf(stderr, "note: %.*s names no key of the configuration\n", (int)strcspn(stray, "="), stray);
    config_release(&config);
    return status;
}
