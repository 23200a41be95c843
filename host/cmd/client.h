/* What commands of administration share (`derd token`, `derd password`): the folder of the store,
 * and one question to the host that runs on it, or, where none does, to the store itself. The
 * process does nothing else: as root it becomes the user that the folder belongs to. */
#ifndef DERD_CLIENT_H
#define DERD_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

/* store.directory of a site file, on the heap; NULL with a text on standard error. Other mistakes
 * of the file are not for these commands. */
char *client_site_directory(const char *site);
/* Keys of the clusters that a site file declares, a list; empty when it cannot be read. */
json_t *client_site_clusters(const char *site);
/* The answer, as admin.h has it (`command`: "token"); NULL with a text on standard error.
 * `makes_store`: where there is neither a host nor a store, one is made. */
json_t *client_ask(const char *command, const char *directory, const json_t *request,
                   bool makes_store);
/* The answer of the host alone; NULL with a text on standard error, also when none runs. */
json_t *client_ask_host(const char *command, const char *directory, const json_t *request);
/* As root: becomes the user that the folder belongs to, for good. False with a text on standard
 * error. */
bool client_become_owner(const char *command, const char *directory);

#endif
