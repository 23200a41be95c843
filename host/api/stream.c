#include "api/stream.h"

#include "base/buf.h"

#define CHUNK_FRAME 24 /* length in hexadecimal and two line ends */

static bool send_all(struct stream *stream, const void *data, size_t length) {
    if (!stream->failed && !stream->send(stream->connection, data, length))
        stream->failed = true;
    return !stream->failed;
}

/* One send for frame and data: several would wait for each other's acknowledgement. */
bool stream_write(struct stream *stream, const void *data, size_t length) {
    stream->failed = stream->failed || length > STREAM_PIECE_MAXIMUM;
    if (length == 0 || stream->failed)
        return !stream->failed;
    if (!stream->chunks)
        return send_all(stream, data, length);
    struct buf chunk;
    buf_init(&chunk, STREAM_PIECE_MAXIMUM + CHUNK_FRAME);
    buf_format(&chunk, "%zx\r\n", length);
    buf_append(&chunk, data, length);
    buf_append(&chunk, "\r\n", 2);
    if (chunk.failed)
        stream->failed = true;
    else
        (void)send_all(stream, chunk.data, chunk.length);
    buf_free(&chunk);
    return !stream->failed;
}

bool stream_alive(struct stream *stream) {
    if (!stream->failed && stream->gone(stream->connection))
        stream->failed = true;
    return !stream->failed;
}

bool stream_end(struct stream *stream) {
    return !stream->chunks ? !stream->failed : send_all(stream, "0\r\n\r\n", 5);
}
