/* `derd token create|list|revoke`: the API's tokens, from the machine itself. Through the socket of
 * the running host where there is one, else directly on the store. */
#ifndef DERD_CMD_TOKEN_H
#define DERD_CMD_TOKEN_H

/* argv[0] is "token". Exit status: 0 done, 1 something is wrong, 2 used wrongly. A new token stands
 * alone on standard output, what is said about it on standard error. A superuser becomes the owner
 * of the store's folder before a file is touched, so that the host can open what is made. */
int cmd_token(int argc, char **argv);

#endif
