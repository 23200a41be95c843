/* The commands of the derd program. Each gets its own arguments (argv[0] is its name) and returns
 * the exit status: 0 ok, 1 found something wrong, 2 used wrongly. */
#ifndef DERD_COMMANDS_H
#define DERD_COMMANDS_H

int cmd_serve(int argc, char **argv);
int cmd_simulate(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_proxy(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_backup(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_password(int argc, char **argv);
int cmd_new(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_test(int argc, char **argv);

#endif
