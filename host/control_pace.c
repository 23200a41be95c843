/* When a command may be sent. A reduction never waits: a fuse does not. A raise respects, in this
 * order, the day's budget of writes, the interval, the least change and the ramp. */
#include <stdlib.h>

#include "control.h"

#define DAY_MS              (24LL * 3600 * 1000)
#define RAMP_STEP_MS        1000
#define LEAST_CHANGE_ASK_MS 60000

static bool is_reduction(int32_t from, int32_t to) {
    if (to == 0)
        return true;
    return (from > 0) == (to > 0) && from != 0 && llabs((long long)to) <= llabs((long long)from);
}

static enum pace_verdict later(int64_t at_ms, struct mono *again) {
    again->ms = at_ms;
    return PACE_LATER;
}

/* A raise in steps. From the other side of 0 it starts at 0. */
static enum pace_verdict pace_ramp(const struct pace *pace, const struct control *control,
                                   int32_t target, struct mono now, int32_t *allowed_w,
                                   struct mono *again) {
    int64_t step_ms =
        control->min_interval_ms > RAMP_STEP_MS ? control->min_interval_ms : RAMP_STEP_MS;
    int64_t next_ms = pace->sent_at.ms + step_ms;
    if (now.ms < next_ms)
        return later(next_ms, again);
    int64_t step_w = control->ramp_w_per_s * step_ms / 1000;
    int64_t from = (pace->target_w > 0) == (target > 0) ? pace->target_w : 0;
    int64_t reach = target > 0 ? from + step_w : from - step_w;
    if (target > 0 ? reach >= target : reach <= target)
        return PACE_NOW;
    *allowed_w = (int32_t)reach;
    again->ms = now.ms + step_ms;
    return PACE_PARTLY;
}

enum pace_verdict pace_ask(const struct pace *pace, const struct control *control,
                           const struct decision *decision, const struct plan *plan,
                           struct mono now, int32_t *allowed_w, struct mono *again) {
    *allowed_w = plan->target_w;
    *again = now;
    if (!pace->sent_before || !pace->has_target || !plan->has_target)
        return PACE_NOW;
    int32_t old = pace->target_w;
    int32_t target = plan->target_w;
    if (old < decision->min || old > decision->max || is_reduction(old, target))
        return PACE_NOW;
    if (control->writes_per_day > 0 && pace->sent_today >= control->writes_per_day &&
        now.ms < pace->day_start.ms + DAY_MS)
        return later(pace->day_start.ms + DAY_MS, again);
    if (now.ms < pace->sent_at.ms + control->min_interval_ms)
        return later(pace->sent_at.ms + control->min_interval_ms, again);
    if (llabs((long long)target - old) < control->least_change_w)
        return later(now.ms + LEAST_CHANGE_ASK_MS, again);
    if (control->ramp_w_per_s > 0)
        return pace_ramp(pace, control, target, now, allowed_w, again);
    return PACE_NOW;
}

void pace_sent(struct pace *pace, const struct plan *plan, struct mono now) {
    if (!pace->sent_before || now.ms >= pace->day_start.ms + DAY_MS) {
        pace->day_start = now;
        pace->sent_today = 0;
    }
    pace->sent_before = true;
    pace->has_target = plan->has_target;
    pace->target_w = plan->target_w;
    pace->sent_at = now;
    pace->sent_today++;
}
