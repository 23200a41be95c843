#include "api/porter.h"

#include <stdlib.h>
#include <string.h>

struct porter *porter_new(const struct api_settings *settings) {
    struct porter *porter = calloc(1, sizeof *porter);
    if (!porter)
        return NULL;
    porter->rates = rates_new(settings->rate > 0 ? settings->rate : RATE_DEFAULT,
                              settings->burst > 0 ? settings->burst : BURST_DEFAULT);
    porter->guesses = guesses_new(settings->guesses > 0 ? settings->guesses : GUESSES_FREE_DEFAULT);
    if (porter->rates && porter->guesses)
        return porter;
    porter_free(porter);
    return NULL;
}

void porter_free(struct porter *porter) {
    if (!porter)
        return;
    rates_free(porter->rates);
    guesses_free(porter->guesses);
    free(porter);
}

bool porter_rate(struct exchange *x) {
    int wait_s;
    if (rates_take(x->porter->rates, x->token.id, clock_mono(), &wait_s))
        return true;
    exchange_too_many(
        x, wait_s,
        "\"%s\" asks too often: ask again in %d s. An event stream (/v1/events) tells "
        "what changes without asking; http.rate and http.burst in the site file say "
        "how often one token may ask.",
        x->token.name, wait_s);
    return false;
}

int porter_wrong_token(struct exchange *x) {
    char account[ACCOUNT_KEY_SIZE];
    int wait_s;
    const char *blank = strchr(x->request.authorization, ' ');
    const char *text = blank ? blank + strspn(blank, " ") : "";
    bool named = store_token_named(x->settings->store, text, account);
    const struct guess guess = {
        .kind = GUESS_TOKEN, .address = x->remote.address, .account = named ? account : NULL};
    (void)guesses_try(x->porter->guesses, &guess, clock_mono(), &wait_s);
    return wait_s;
}
