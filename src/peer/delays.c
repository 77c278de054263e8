#include <config.h>

#include "peer/delays.h"

#include "util.h"

void
delays_add(struct delays *d, long long rtt_us, long long offset_us)
{
    d->samples[d->n++ % DELAYS_MAX]
        = (struct delay_sample) { rtt_us, offset_us };
}

void
delays_get(const struct delays *d, struct channel_delay *delay)
{
    for (size_t i = 0; i < MIN(d->n, DELAYS_MAX); i++) {
        const struct delay_sample *s = &d->samples[i];

        if (delay->rtt_us < 0 || s->rtt_us < delay->rtt_us) {
            delay->rtt_us = s->rtt_us;
            delay->offset_us = s->offset_us;
            delay->offset_error_us = s->rtt_us / 2;
        }
    }
}
