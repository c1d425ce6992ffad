/* A node in memory says who it is. */

#include <kwaainet.h>

#include <stdio.h>

int main(void)
{
    kwaai_error_t *error = NULL;
    kwaai_node_t *node = NULL;
    char *info = NULL;
    bool failed = kwaai_node_start("{\"preset\": \"ephemeral\"}", 30000, &node, &error) ||
                  kwaai_node_info(node, 30000, &info, &error) || kwaai_node_shutdown(node, 1000, 30000, &error);
    if (failed) {
        fprintf(stderr, "%s: %s\n", kwaai_error_code(error), kwaai_error_message(error));
    } else {
        puts(info);
    }
    kwaai_error_free(error);
    kwaai_string_free(info);
    kwaai_node_free(node);
    kwaai_library_shutdown(5000);
    return failed;
}
