/* `derd password set|remove|list`: passwords of accounts, for the page's login, from the machine
 * itself. Through the socket of the running host where there is one, else directly on the store. */
#ifndef DERD_CMD_PASSWORD_H
#define DERD_CMD_PASSWORD_H

/* argv[0] is "password". Exit status: 0 done, 1 something is wrong, 2 used wrongly. */
int cmd_password(int argc, char **argv);

#endif
