#include "settings_kafka.h"

#include "command.h"
#include "output.h"

int brokers_open(struct brokers *brokers, const char *path) {
    struct error error = {0};
    *brokers = (struct brokers){0};
    int status = settings_load(&brokers->config, path);
    if (status) return status;
    const struct config *config = &brokers->config;
    brokers->options = (struct kafka_options){.bootstrap_servers = config->kafka.bootstrap_servers,
                                              .topic_prefix = config->topic_prefix,
                                              .group = config->worker.group,
                                              .properties = config->kafka.properties,
                                              .property_count = config->kafka.property_count};
    if (config_require(config->kafka.bootstrap_servers, "kafka.bootstrap-servers", &error) == 0) return 0;
    output_failure(&error);
    brokers_close(brokers);
    return EXIT_COULD_NOT_TELL;
}

void brokers_close(struct brokers *brokers) {
    config_release(&brokers->config);
    *brokers = (struct brokers){0};
}
