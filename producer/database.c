#include "database.h"

#include "command.h"
#include "output.h"

int database_open(struct database *database, const char *path, enum pg_role role) {
    struct error error = {0};
    *database = (struct database){0};
    if (settings_load(&database->config, path) != 0) return EXIT_COULD_NOT_TELL;
    if (config_require(database->config.database.url, "database.url", &error) < 0) goto failed;
    database->options = (struct pg_options){
        .url = database->config.database.url, .schema = database->config.database.schema, .application = "sluice"};
    database->pg = pg_new(&database->options, role);
    if (!database->pg) (void)error_memory(&error);
    if (database->pg && pg_installation(database->pg, &database->installation, &error) == 0) return 0;
failed:
    output_failure(&error);
    database_close(database);
    return EXIT_COULD_NOT_TELL;
}

void database_close(struct database *database) {
    pg_free(database->pg);
    config_release(&database->config);
    *database = (struct database){0};
}
