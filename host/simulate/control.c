#include "simulate/control.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/schema.h"

#define MOST_WORDS   6
#define MOST_READ    2000
#define MOST_LATENCY 60000

struct words {
    char *word[MOST_WORDS];
    int count;
};

static void say_error(struct buf *answer, const char *text) {
    buf_format(answer, "error: %s\n", text);
}

static struct words cut(char *line) {
    static const char blanks[] = " \t\r";
    struct words words = {0};
    char *at = line + strspn(line, blanks);
    while (*at && words.count < MOST_WORDS) {
        words.word[words.count++] = at;
        at += strcspn(at, blanks);
        if (*at)
            *at++ = '\0';
        at += strspn(at, blanks);
    }
    return words;
}

static bool read_number(const char *text, double least, double most, double *value) {
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end || !(number >= least && number <= most))
        return false;
    *value = number;
    return true;
}

static bool read_switch(const char *text, bool *value) {
    *value = strcmp(text, "on") == 0;
    return *value || strcmp(text, "off") == 0;
}

static void say_ok_or(struct buf *answer, bool good, const char *expected) {
    if (good)
        buf_text(answer, "ok\n");
    else
        say_error(answer, expected);
}

static void do_silence(struct sim_home *home, struct sim_device *device, struct words *words,
                       struct buf *answer) {
    (void)home;
    say_ok_or(answer, read_switch(words->word[2], &device->silent), "expected on or off");
}

static void do_freeze(struct sim_home *home, struct sim_device *device, struct words *words,
                      struct buf *answer) {
    (void)home;
    say_ok_or(answer, read_switch(words->word[2], &device->frozen), "expected on or off");
}

static void do_exception(struct sim_home *home, struct sim_device *device, struct words *words,
                         struct buf *answer) {
    (void)home;
    double code = 0;
    bool good = strcmp(words->word[2], "off") == 0 || read_number(words->word[2], 1, 11, &code);
    if (good)
        device->exception = (int)code;
    say_ok_or(answer, good, "expected an exception code, 1 to 11, or off");
}

static void do_plug(struct sim_home *home, struct sim_device *device, struct words *words,
                    struct buf *answer) {
    (void)home;
    if (!device->has_station) {
        say_error(answer, "that device has no car");
        return;
    }
    device->station.car.timed = false;
    say_ok_or(answer, read_switch(words->word[2], &device->station.car.plugged),
              "expected on or off");
}

static void do_identity(struct sim_home *home, struct sim_device *device, struct words *words,
                        struct buf *answer) {
    (void)home;
    const char *serial = words->word[2];
    if (strlen(serial) >= sizeof device->serial || !device->make->serial_fits(serial)) {
        say_error(answer, "that serial number does not fit the registers of this make");
        return;
    }
    memcpy(device->serial, serial, strlen(serial) + 1);
    device->make->identify(device);
    buf_text(answer, "ok\n");
}

static void do_read(struct sim_home *home, struct sim_device *device, struct words *words,
                    struct buf *answer) {
    (void)home;
    bool input = strcmp(words->word[2], "input") == 0;
    double address, count;
    if ((!input && strcmp(words->word[2], "holding") != 0) ||
        !read_number(words->word[3], 0, 65535, &address) ||
        !read_number(words->word[4], 1, MOST_READ, &count)) {
        say_error(answer, "expected: read UNIT holding|input ADDRESS COUNT");
        return;
    }
    const uint16_t *registers = sim_image_at(&device->image, input ? SIM_INPUT : SIM_HOLDING,
                                             (uint16_t)address, (uint16_t)count);
    if (!registers) {
        say_error(answer, "the device has no such registers");
        return;
    }
    buf_text(answer, "ok");
    for (int i = 0; i < (int)count; i++)
        buf_format(answer, " %d", registers[i]);
    buf_char(answer, '\n');
}

static void do_writes(struct sim_home *home, struct sim_device *device, struct words *words,
                      struct buf *answer) {
    (void)home;
    (void)words;
    for (size_t i = 0; i < device->write_count; i++) {
        const struct sim_write *write = &device->writes[i];
        buf_format(answer, "write %llu holding %d", (unsigned long long)write->sequence,
                   write->address);
        for (int j = 0; j < write->count && j < SIM_WRITE_WORDS; j++)
            buf_format(answer, " %d", write->words[j]);
        buf_format(answer, "%s%s\n", write->count > SIM_WRITE_WORDS ? " ..." : "",
                   write->refused ? " refused" : "");
    }
    buf_format(answer, "ok %zu writes, %llu forgotten\n", device->write_count,
               (unsigned long long)device->writes_dropped);
}

static void do_profile(struct sim_profile *profile, const char *text, struct buf *answer) {
    double watts = 0;
    bool back = strcmp(text, "profile") == 0;
    bool good = back || read_number(text, 0, 1e6, &watts);
    if (good) {
        profile->overridden = !back;
        profile->override_w = watts;
    }
    say_ok_or(answer, good, "expected watts, 0 or more, or profile");
}

static void do_sun(struct sim_home *home, struct sim_device *device, struct words *words,
                   struct buf *answer) {
    (void)device;
    do_profile(&home->sun, words->word[1], answer);
}

static void do_load(struct sim_home *home, struct sim_device *device, struct words *words,
                    struct buf *answer) {
    (void)device;
    do_profile(&home->load, words->word[1], answer);
}

static void do_latency(struct sim_home *home, struct sim_device *device, struct words *words,
                       struct buf *answer) {
    (void)device;
    double latency_ms = 0;
    bool good = read_number(words->word[1], 0, MOST_LATENCY, &latency_ms);
    if (good)
        home->latency_ms = (int)latency_ms;
    say_ok_or(answer, good, "expected milliseconds, 0 to 60000");
}

static json_t *round_3(double value) {
    return json_real(round(value * 1000) / 1000);
}

static json_t *device_state(const struct sim_device *device) {
    json_t *state = json_pack("{s:s, s:s, s:i, s:s, s:b, s:b}", "name", device->name, "make",
                              device->make->name, "unit", device->unit, "serial", device->serial,
                              "silent", device->silent, "frozen", device->frozen);
    if (device->has_pv) {
        json_object_set_new(state, "pv", json_integer(device->pv.power_w));
        json_object_set_new(state, "available", round_3(device->pv.available_w));
        json_object_set_new(state, "limit", round_3(device->pv.limit_w));
    }
    if (device->has_battery) {
        json_object_set_new(state, "battery", json_integer(device->battery.power_w));
        json_object_set_new(state, "stateOfCharge", round_3(device->battery.soc_pct));
    }
    if (device->has_station) {
        const struct sim_station *station = &device->station;
        static const char *const names[] = {"idle",  "stopped",  "paused",
                                            "ready", "charging", "error"};
        json_object_set_new(state, "charging", json_integer(station->power.total));
        json_object_set_new(state, "state", json_string(names[station->state]));
        json_object_set_new(state, "plugged", json_boolean(station->car.plugged));
        json_object_set_new(state, "limitCurrent", round_3(station->limit_a));
        json_object_set_new(state, "offeredCurrent", round_3(station->offered_a));
        json_object_set_new(state, "drawnCurrent", round_3(station->drawn_a));
        json_object_set_new(state, "stateOfCharge", round_3(station->car.soc_pct));
    }
    return state;
}

static void do_state(struct sim_home *home, struct sim_device *none, struct words *words,
                     struct buf *answer) {
    (void)none;
    (void)words;
    int minute = (int)(sim_home_day_s(home) / 60);
    buf_format(answer, "{\"time\":\"%02d:%02d\",\"steps\":%llu", minute / 60, minute % 60,
               (unsigned long long)home->steps);
    static const char *const names[] = {"grid", "load", "charging", "battery", "pv"};
    for (int i = 0; i < SIM_MEASURED_COUNT; i++) {
        const struct sim_power *power = &home->now[i];
        buf_format(answer, ",\"%s\":%d,\"%sPhases\":[%d,%d,%d]", names[i], power->total, names[i],
                   power->phase[0], power->phase[1], power->phase[2]);
        buf_format(answer, ",\"%sEnergy\":[%.3f,%.3f]", names[i], home->import_wh[i],
                   home->export_wh[i]);
    }
    buf_format(answer, ",\"writes\":%llu,\"devices\":[", (unsigned long long)home->write_sequence);
    for (size_t i = 0; i < home->device_count; i++) {
        json_t *state = device_state(&home->devices[i]);
        char *text = json_dumps(state, JSON_COMPACT | JSON_REAL_PRECISION(9));
        buf_format(answer, "%s%s", i ? "," : "", text ? text : "null");
        free(text);
        json_decref(state);
    }
    buf_text(answer, "]}\nok\n");
}

static const struct command {
    const char *word;
    int words; /* with the first */
    bool of_device;
    void (*act)(struct sim_home *home, struct sim_device *device, struct words *words,
                struct buf *answer);
} commands[] = {
    {"silence", 3, true, do_silence},     {"freeze", 3, true, do_freeze},
    {"exception", 3, true, do_exception}, {"plug", 3, true, do_plug},
    {"identity", 3, true, do_identity},   {"read", 5, true, do_read},
    {"writes", 2, true, do_writes},       {"sun", 2, false, do_sun},
    {"load", 2, false, do_load},          {"latency", 2, false, do_latency},
    {"state", 1, false, do_state},
};

const char *sim_control_help(void) {
    return "Lines on standard input; the last line of each answer begins with \"ok\" or "
           "\"error\".\n"
           "UNIT is a device's name, or its unit id where only one listener has it.\n"
           "  silence UNIT on|off         the unit does not answer\n"
           "  freeze UNIT on|off          its registers keep their values; it still answers\n"
           "  exception UNIT CODE|off     it answers every request with this exception\n"
           "  plug UNIT on|off            the car is plugged in or leaves\n"
           "  identity UNIT SERIAL        it has another serial number from now on\n"
           "  sun WATTS|profile           what all panels together could produce\n"
           "  load WATTS|profile          what the household takes\n"
           "  latency MS                  every answer waits this long\n"
           "  read UNIT holding|input ADDRESS COUNT\n"
           "                              its registers: \"ok VALUE...\"\n"
           "  writes UNIT                 every write so far, oldest first:\n"
           "                              \"write SEQUENCE holding ADDRESS VALUE... [refused]\"\n"
           "  state                       powers, energies, charge, currents as a line of JSON\n"
           "The end of standard input does not end the simulation; SIGTERM and SIGINT do.\n";
}

void sim_control_line(struct sim_home *home, char *line, struct buf *answer) {
    struct words words = cut(line);
    if (!words.count)
        return;
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const struct command *command = &commands[i];
        if (strcmp(command->word, words.word[0]) != 0)
            continue;
        if (words.count != command->words) {
            say_error(answer, "too few or too many words; --help lists what is understood");
            return;
        }
        struct sim_device *device = NULL;
        if (command->of_device && !(device = sim_home_find(home, words.word[1]))) {
            say_error(answer, "there is no such device, or several have that unit id");
            return;
        }
        command->act(home, device, &words, answer);
        return;
    }
    say_error(answer, "not understood; --help lists what is");
}
