/* The simulated home over real sockets: the program in a process of its own, libmodbus as client.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <modbus/modbus.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "simulate/simulate.h"

#define WAIT_MS 20000 /* for what always comes */

struct wire {
    pid_t process;
    FILE *orders;
    FILE *answers;
    int ports[2];
    char path[64];
};

static const char home_text[] =
    "return { listeners = { {name='a', port=0}, {name='b', port=0} },\n"
    "  sun = {constant=3000}, load = {constant=500}, devices = {\n"
    "  {make='eastron_sdm630', name='grid', listener='a', unit=1, serial='21450731'},\n"
    "  {make='sunspec_inverter', name='roof', listener='a', unit=126, ratedPower=8000, lag=0},\n"
    "  {make='abb_terra_ac', name='box', listener='b', unit=1, lag=0, currentLimit=0,\n"
    "   car={capacity=60000, startDelay=0}} } }\n";

static char *next_line(struct wire *wire, char *line, int size) {
    if (!fgets(line, size, wire->answers))
        fail_msg("the simulation has ended");
    line[strcspn(line, "\n")] = '\0';
    return line;
}

/* The last line of the answer; in `first` the first one, which may be the same. */
static void order(struct wire *wire, const char *text, char *first, int size) {
    char line[4096];
    fprintf(wire->orders, "%s\n", text);
    fflush(wire->orders);
    next_line(wire, first, size);
    snprintf(line, sizeof line, "%s", first);
    while (strncmp(line, "ok", 2) != 0 && strncmp(line, "error", 5) != 0)
        next_line(wire, line, sizeof line);
}

static void order_ok(struct wire *wire, const char *text) {
    char first[4096];
    order(wire, text, first, sizeof first);
    assert_int_equal(strncmp(first, "ok", 2), 0);
}

static void run_child(const char *path, int orders, int answers) {
    const struct simulate_options options = {.path = path, .control = orders, .output = answers};
    exit(simulate_run(&options));
}

static int start(void **state) {
    struct wire *wire = calloc(1, sizeof *wire);
    int down[2], up[2];
    if (!wire)
        return -1;
    *state = wire;
    if (pipe(down) || pipe(up))
        return -1;
    snprintf(wire->path, sizeof wire->path, "/tmp/derd-home-XXXXXX");
    int file = mkstemp(wire->path);
    if (file < 0 || write(file, home_text, sizeof home_text - 1) < 0)
        return -1;
    close(file);
    wire->process = fork();
    if (wire->process == 0) {
        close(down[1]);
        close(up[0]);
        char path[64];
        memcpy(path, wire->path, sizeof path);
        free(wire);
        run_child(path, down[0], up[1]);
    }
    close(down[0]);
    close(up[1]);
    wire->orders = fdopen(down[1], "w");
    wire->answers = fdopen(up[0], "r");
    char line[256];
    static const char listening[] = "listening 127.0.0.1:";
    for (int i = 0; i < 2; i++) {
        next_line(wire, line, sizeof line);
        if (strncmp(line, listening, sizeof listening - 1) != 0)
            return -1;
        wire->ports[i] = (int)strtol(line + sizeof listening - 1, NULL, 10);
    }
    return strcmp(next_line(wire, line, sizeof line), "ready");
}

/* Every test ends it by SIGTERM and sees that it ended cleanly: sanitizers speak by the status. */
static int finish(void **state) {
    struct wire *wire = *state;
    int status = 0;
    kill(wire->process, SIGTERM);
    waitpid(wire->process, &status, 0);
    fclose(wire->orders);
    fclose(wire->answers);
    unlink(wire->path);
    free(wire);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static modbus_t *client(const struct wire *wire, int listener, int unit) {
    modbus_t *modbus = modbus_new_tcp("127.0.0.1", wire->ports[listener]);
    assert_non_null(modbus);
    modbus_set_slave(modbus, unit);
    modbus_set_response_timeout(modbus, WAIT_MS / 1000, 0);
    assert_int_equal(modbus_connect(modbus), 0);
    return modbus;
}

static void drop(modbus_t *modbus) {
    modbus_close(modbus);
    modbus_free(modbus);
}

/* Reads until `count` words at `address` are `expected` in the last one: the physics step on. */
static void await_word(modbus_t *modbus, int address, int count, uint16_t expected) {
    uint16_t words[8];
    for (int i = 0; i < WAIT_MS / 20; i++) {
        assert_int_equal(modbus_read_registers(modbus, address, count, words), count);
        if (words[count - 1] == expected)
            return;
        poll(NULL, 0, 20);
    }
    fail_msg("register %d stays at %d, not %d", address, words[count - 1], expected);
}

static void several_units_answer_behind_one_listener(void **state) {
    struct wire *wire = *state;
    modbus_t *modbus = client(wire, 0, 1);
    uint16_t words[4];
    assert_int_equal(modbus_read_registers(modbus, 64512, 2, words), 2);
    assert_int_equal((uint32_t)words[0] << 16 | words[1], 21450731);
    assert_int_equal(modbus_read_input_registers(modbus, 70, 2, words), 2);
    assert_true(modbus_get_float_abcd(words) == 50.0F);
    modbus_set_slave(modbus, 126);
    assert_int_equal(modbus_read_registers(modbus, 40000, 2, words), 2);
    assert_int_equal(words[0], 0x5375);
    drop(modbus);
}

static void what_does_not_exist_is_refused_with_the_right_exception(void **state) {
    struct wire *wire = *state;
    modbus_t *modbus = client(wire, 0, 1);
    uint16_t words[64];
    assert_int_equal(modbus_read_input_registers(modbus, 40, 10, words), -1);
    assert_int_equal(errno, EMBXILADD);
    assert_int_equal(modbus_read_registers(modbus, 0, 2, words), -1);
    assert_int_equal(errno, EMBXILADD);
    assert_int_equal(modbus_write_register(modbus, 64512, 1), -1);
    assert_int_equal(errno, EMBXILADD);
    uint8_t bits[8];
    assert_int_equal(modbus_read_bits(modbus, 0, 8, bits), -1);
    assert_int_equal(errno, EMBXILFUN);
    modbus_set_slave(modbus, 9);
    assert_int_equal(modbus_read_registers(modbus, 0, 2, words), -1);
    assert_int_equal(errno, EMBXGTAR);
    drop(modbus);
}

static void a_written_limit_reaches_the_car_and_the_list_of_writes(void **state) {
    struct wire *wire = *state;
    modbus_t *modbus = client(wire, 1, 1);
    const uint16_t limit[] = {0, 10000};
    assert_int_equal(modbus_write_registers(modbus, 16640, 2, limit), 2);
    await_word(modbus, 16412, 2, 10 * 690);
    assert_int_equal(modbus_write_register(modbus, 16645, 7), -1);
    assert_int_equal(errno, EMBXILVAL);
    char first[4096];
    order(wire, "writes box", first, sizeof first);
    assert_string_equal(first, "write 1 holding 16640 0 10000");
    modbus_t *meter = client(wire, 0, 1);
    uint16_t words[2];
    assert_int_equal(modbus_read_input_registers(meter, 52, 2, words), 2);
    /* load + charging + standby - sun */
    assert_true(modbus_get_float_abcd(words) == 500.0F + 6900.0F + 4.0F - 3000.0F);
    drop(meter);
    drop(modbus);
}

static void faults_by_order_come_and_go(void **state) {
    struct wire *wire = *state;
    modbus_t *modbus = client(wire, 0, 126);
    uint16_t words[2];
    order_ok(wire, "exception roof 6");
    assert_int_equal(modbus_read_registers(modbus, 40000, 2, words), -1);
    assert_int_equal(errno, EMBXSBUSY);
    order_ok(wire, "exception roof off");
    order_ok(wire, "silence roof on");
    modbus_set_response_timeout(modbus, 0, 50000);
    assert_int_equal(modbus_read_registers(modbus, 40000, 2, words), -1);
    assert_int_equal(errno, ETIMEDOUT);
    order_ok(wire, "silence roof off");
    order_ok(wire, "latency 5");
    drop(modbus);
    modbus = client(wire, 0, 126);
    assert_int_equal(modbus_read_registers(modbus, 40000, 2, words), 2);
    drop(modbus);
    order_ok(wire, "identity grid 77");
    modbus = client(wire, 0, 1);
    assert_int_equal(modbus_read_registers(modbus, 64512, 2, words), 2);
    assert_int_equal(words[1], 77);
    drop(modbus);
}

static void many_connections_at_once_are_all_served(void **state) {
    struct wire *wire = *state;
    enum { MANY = 40 };
    modbus_t *clients[MANY];
    uint16_t words[2];
    for (int i = 0; i < MANY; i++)
        clients[i] = client(wire, 0, 1);
    for (int round = 0; round < 5; round++)
        for (int i = 0; i < MANY; i++)
            assert_int_equal(modbus_read_registers(clients[i], 64512, 2, words), 2);
    for (int i = 0; i < MANY; i++)
        drop(clients[i]);
}

static void the_end_of_its_orders_does_not_end_it(void **state) {
    struct wire *wire = *state;
    fclose(wire->orders);
    wire->orders = fopen("/dev/null", "w");
    modbus_t *modbus = client(wire, 1, 1);
    const uint16_t limit[] = {0, 8000};
    assert_int_equal(modbus_write_registers(modbus, 16640, 2, limit), 2);
    await_word(modbus, 16412, 2, 8 * 690);
    drop(modbus);
}

#define wire_test(test) cmocka_unit_test_setup_teardown(test, start, finish)

int main(void) {
    const struct CMUnitTest tests[] = {
        wire_test(several_units_answer_behind_one_listener),
        wire_test(what_does_not_exist_is_refused_with_the_right_exception),
        wire_test(a_written_limit_reaches_the_car_and_the_list_of_writes),
        wire_test(faults_by_order_come_and_go),
        wire_test(many_connections_at_once_are_all_served),
        wire_test(the_end_of_its_orders_does_not_end_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
