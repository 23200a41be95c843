#include "cmd/secret_read.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define ENDING_COUNT (sizeof ending / sizeof ending[0])

static struct termios shown; /* how the terminal was; for the handler */

/* A signal may come at any moment, also just before a read(): so it is the handler that gives the
 * terminal back (tcsetattr() may be called there) and lets the signal end the program after all. */
static void give_back(int number) {
    tcsetattr(STDIN_FILENO, TCSANOW, &shown);
    raise(number); /* held until the handler returns; SA_RESETHAND has put the default back */
}

/* Up to the end of the line or of the input, byte by byte: what follows is not ours. ERR_LIMIT: the
 * line is longer; ERR_CLOSED: there was nothing at all. */
static enum err line_read(char *line, size_t size) {
    size_t length = 0;
    enum err result = ERR_OK;
    for (;;) {
        char byte;
        ssize_t count = read(STDIN_FILENO, &byte, 1);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return ERR_IO;
        if (count == 0 && length == 0)
            return ERR_CLOSED;
        if (count == 0 || byte == '\n')
            break;
        if (byte == '\0')
            result = ERR_FORMAT;
        if (length < size)
            line[length] = byte;
        length++;
    }
    if (length > 0 && length <= size && line[length - 1] == '\r')
        length--;
    if (length >= size)
        return ERR_LIMIT;
    line[length] = '\0';
    return result;
}

static enum err ask_twice(const char *prompt, char *secret, size_t size) {
    char again[1024] = "";
    fputs(prompt, stderr);
    enum err result = line_read(secret, size);
    if (result == ERR_OK) {
        fputs("\nOnce more: ", stderr);
        result = line_read(again, sizeof again);
    }
    fputc('\n', stderr);
    if (result == ERR_OK && strcmp(secret, again) != 0)
        result = ERR_CONFLICT;
    sodium_memzero(again, sizeof again);
    return result;
}

static enum err terminal_ask(const char *prompt, char *secret, size_t size) {
    struct termios hidden;
    struct sigaction before[ENDING_COUNT];
    const struct sigaction end = {.sa_handler = give_back, .sa_flags = (int)SA_RESETHAND};
    if (tcgetattr(STDIN_FILENO, &shown) != 0)
        return ERR_IO;
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
    for (size_t i = 0; i < ENDING_COUNT; i++) {
        sigaction(ending[i], &end, &before[i]);
        if (before[i].sa_handler == SIG_IGN)
            sigaction(ending[i], &before[i], NULL);
    }
    enum err result = ERR_IO;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) == 0)
        result = ask_twice(prompt, secret, size);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    for (size_t i = 0; i < ENDING_COUNT; i++)
        sigaction(ending[i], &before[i], NULL);
    return result;
}

enum err secret_read(const char *prompt, char *secret, size_t size) {
    char more[2];
    enum err result =
        isatty(STDIN_FILENO) ? terminal_ask(prompt, secret, size) : line_read(secret, size);
    if (result == ERR_OK && !isatty(STDIN_FILENO) && line_read(more, sizeof more) != ERR_CLOSED)
        result = ERR_FORMAT;
    if (result != ERR_OK)
        sodium_memzero(secret, size);
    return result == ERR_CLOSED ? ERR_IO : result;
}
