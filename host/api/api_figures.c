#include "api/api_figures.h"

#include <stdlib.h>

enum err api_figures_open(struct api_figures *figures) {
    size_t count;
    (void)route_table(&count);
    *figures = (struct api_figures){.count = count + 1};
    figures->routes = calloc(figures->count, sizeof *figures->routes);
    return figures->routes ? ERR_OK : ERR_MEMORY;
}

void api_figures_close(struct api_figures *figures) {
    free(figures->routes);
    figures->routes = NULL;
}

void api_figures_count(struct api_figures *figures, const struct route *route, int status,
                       int64_t took_us) {
    size_t count;
    const struct route *table = route_table(&count);
    struct api_figure *figure = &figures->routes[route ? (size_t)(route - table) : count];
    if (status >= 100 && status < 100 * (STATUS_CLASSES + 1))
        figure_add(&figure->answers[status / 100 - 1], 1);
    histogram_add(&figure->took, took_us);
}
