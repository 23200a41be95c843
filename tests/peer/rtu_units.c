/* The units of an RS-485 line, each served by libmodbus: the peer of the serial system tests that
 * is not of our making.
 *
 *   rtu_units PORT UNIT...
 *
 * PORT is the name that the host opens: a link to a pseudo-terminal. Every unit has a terminal and
 * a thread of its own, in which libmodbus receives, checks and answers; this program is the wire
 * between them: what the host sends reaches all units, what a unit answers reaches the host. 400
 * holding registers each, all 0. Commands on standard input, each answered by one line:
 *
 *   set UNIT ADDRESS VALUE...   get UNIT ADDRESS   mute UNIT   speak UNIT
 *
 * Ends with its standard input. */
#include <errno.h>
#include <fcntl.h>
#include <modbus.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define UNITS_MAXIMUM 8
#define REGISTERS     400

struct unit {
    int number;
    int wire; /* our end of its terminal */
    bool mute;
    modbus_t *modbus;
    pthread_mutex_t lock; /* of the mapping */
    modbus_mapping_t *mapping;
    pthread_t thread;
};

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "rtu_units: %s: %s\n", what, modbus_strerror(errno));
    exit(1);
}

/* A raw terminal: our end, and the name of the other one, which stays open in `held`. */
static int terminal(char name[64], int *held) {
    int ours;
    struct termios raw;
    if (openpty(&ours, held, name, NULL, NULL) != 0 || tcgetattr(*held, &raw) != 0)
        fail("openpty");
    cfmakeraw(&raw);
    tcsetattr(*held, TCSANOW, &raw);
    return ours;
}

static void *unit_run(void *argument) {
    struct unit *unit = argument;
    uint8_t request[MODBUS_RTU_MAX_ADU_LENGTH];
    for (;;) {
        int length = modbus_receive(unit->modbus, request); /* 0: for another unit */
        if (length <= 0)
            continue;
        pthread_mutex_lock(&unit->lock);
        modbus_reply(unit->modbus, request, length, unit->mapping);
        pthread_mutex_unlock(&unit->lock);
    }
    return NULL;
}

static void unit_start(struct unit *unit, int number) {
    char name[64];
    int held;
    unit->number = number;
    unit->wire = terminal(name, &held);
    unit->modbus = modbus_new_rtu(name, 115200, 'N', 8, 1);
    unit->mapping = modbus_mapping_new(0, 0, REGISTERS, 0);
    pthread_mutex_init(&unit->lock, NULL);
    if (!unit->modbus || !unit->mapping || modbus_set_slave(unit->modbus, number) != 0 ||
        modbus_connect(unit->modbus) != 0 ||
        pthread_create(&unit->thread, NULL, unit_run, unit) != 0)
        fail("a unit");
}

/* What `from` has to say goes to all other ends of the wire, of which the host's is the last. */
static void carry(int from, const struct pollfd *ends, const struct unit *units, int count) {
    uint8_t bytes[512];
    ssize_t length = read(from, bytes, sizeof bytes);
    for (int i = 0; from == ends[count].fd && i < count; i++)
        if (length > 0 && bytes[0] == units[i].number && units[i].mute)
            return;
    for (int i = 0; length > 0 && i <= count; i++)
        if (ends[i].fd != from && write(ends[i].fd, bytes, (size_t)length) != length)
            fail("the wire");
}

static void obey(char *line, struct unit *units, int count) {
    char *rest = NULL;
    const char *verb = strtok_r(line, " \n", &rest);
    const char *word = strtok_r(NULL, " \n", &rest);
    int number = word ? (int)strtol(word, NULL, 10) : -1;
    struct unit *unit = NULL;
    for (int i = 0; i < count; i++)
        if (units[i].number == number)
            unit = &units[i];
    word = strtok_r(NULL, " \n", &rest);
    int address = word ? (int)strtol(word, NULL, 10) : 0;
    if (!verb || !unit || address < 0 || address >= REGISTERS) {
        puts("error");
        return;
    }
    pthread_mutex_lock(&unit->lock);
    int value = unit->mapping->tab_registers[address];
    while (strcmp(verb, "set") == 0 && (word = strtok_r(NULL, " \n", &rest)) && address < REGISTERS)
        unit->mapping->tab_registers[address++] = (uint16_t)strtol(word, NULL, 10);
    pthread_mutex_unlock(&unit->lock);
    if (strcmp(verb, "mute") == 0 || strcmp(verb, "speak") == 0)
        unit->mute = verb[0] == 'm';
    printf("%d\n", value);
}

int main(int argc, char **argv) {
    struct unit units[UNITS_MAXIMUM] = {0};
    struct pollfd fds[UNITS_MAXIMUM + 2];
    char name[64], line[512];
    int held, count = argc - 2;
    if (count < 1 || count > UNITS_MAXIMUM) {
        fprintf(stderr, "rtu_units PORT UNIT... (at most %d)\n", UNITS_MAXIMUM);
        return 2;
    }
    int host = terminal(name, &held);
    for (int i = 0; i < count; i++) {
        unit_start(&units[i], (int)strtol(argv[2 + i], NULL, 10));
        fds[i] = (struct pollfd){.fd = units[i].wire, .events = POLLIN};
    }
    fds[count] = (struct pollfd){.fd = host, .events = POLLIN};
    fds[count + 1] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    if (symlink(name, argv[1]) != 0)
        fail(argv[1]);
    setvbuf(stdin, NULL, _IONBF, 0);
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("ready");
    for (;;) {
        if (poll(fds, (nfds_t)count + 2, -1) < 0)
            continue; /* EINTR */
        for (int i = 0; i <= count; i++)
            if (fds[i].revents & POLLIN)
                carry(fds[i].fd, fds, units, count);
        if (fds[count + 1].revents) {
            if (!fgets(line, sizeof line, stdin))
                break;
            obey(line, units, count);
        }
    }
    unlink(argv[1]);
    _exit(0); /* the units' threads wait for the wire */
}
