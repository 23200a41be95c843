/* One request as libcurl sees it: options, what comes, how it ends.
 *
 * libcurl's own texts are not shown to people: they may hold what a URL holds. Its codes, the
 * system's error number and OpenSSL's reason are enough for a sentence of our own. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/http_internal.h"

/* ---- from the caller's request ---- */

static bool name_valid(const char *name) {
    static const char *const ours[] = {"host",       "content-length", "transfer-encoding",
                                       "connection", "upgrade",        "expect",
                                       "te",         "trailer",        "keep-alive"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcasecmp(name, ours[i]) == 0)
            return false;
    if (!*name || strncasecmp(name, "proxy-", 6) == 0)
        return false;
    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("!#$%&'*+-.^_`|~", *at))
            return false;
    return true;
}

static bool value_valid(const char *value) {
    for (const char *at = value; *at; at++)
        if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7F)
            return false;
    return true;
}

static bool path_valid(const char *path) {
    if (*path && *path != '/')
        return false;
    for (const char *at = path; *at; at++)
        if (*at <= ' ' || *at > '~' || *at == '#' || *at == '\\')
            return false;
    return strlen(path) <= HTTP_PATH_MAXIMUM;
}

/* What is wrong with the request, as a constant text; NULL: nothing. */
static const char *mistake_of(const struct http_request *request) {
    if (request->method != HTTP_GET && request->method != HTTP_POST && request->method != HTTP_PUT)
        return "expected the method GET, POST or PUT";
    if (!request->path || !path_valid(request->path))
        return "expected a path that is empty or begins with /, of at most 1900 visible ASCII "
               "characters without # and \\ (others are written as %20)";
    if (request->method == HTTP_GET && request->body_length)
        return "expected no body with GET";
    if (request->header_count > HTTP_HEADERS_MAXIMUM)
        return "expected at most 32 headers";
    for (size_t i = 0; i < request->header_count; i++) {
        if (!name_valid(request->headers[i].name))
            return "expected the name of a header that is not HTTP's own (as Host and "
                   "Content-Length are)";
        if (!value_valid(request->headers[i].value))
            return "expected the value of a header without line breaks and control characters";
    }
    return NULL;
}

static bool append(struct curl_slist **list, const char *line) {
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer)
        *list = longer;
    return longer != NULL;
}

/* "Name: value"; one without value is written with a semicolon, libcurl takes "Name:" as a wish to
 * leave it out. */
static bool add_header(struct http_job *job, const char *name, const char *value) {
    struct buf line;
    buf_init(&line, HTTP_HEAD_MAXIMUM);
    buf_format(&line, *value ? "%s: %s" : "%s;", name, value);
    bool added = !line.failed && append(&job->headers, line.data);
    buf_free(&line);
    return added;
}

static bool copy_headers(struct http_job *job, const struct http_request *request) {
    bool typed = false;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        typed = typed || strcasecmp(header->name, "content-type") == 0;
        if (!add_header(job, header->name, header->value))
            return false;
    }
    /* libcurl would say that every body is a form */
    return append(&job->headers, "Expect:") && (typed || append(&job->headers, "Content-Type:"));
}

static bool copy_request(struct http_job *job, const struct http_request *request) {
    size_t size = strlen(job->client->base) + strlen(request->path) + 1;
    job->url = malloc(size);
    if (!job->url || !copy_headers(job, request))
        return false;
    snprintf(job->url, size, "%s%s", job->client->base, request->path);
    if (!request->body_length)
        return true;
    job->body = malloc(request->body_length);
    if (job->body)
        memcpy(job->body, request->body, request->body_length);
    job->body_length = request->body_length;
    return job->body != NULL;
}

struct http_job *http_job_new(struct http_client *client, const struct http_request *request,
                              enum err *err) {
    const char *mistake = mistake_of(request);
    *err = ERR_FORMAT;
    if (!mistake && request->body_length > HTTP_BODY_MAXIMUM) {
        *err = ERR_RANGE;
        mistake = "expected a body of at most 256 KiB";
    }
    struct http_job *job = mistake ? NULL : calloc(1, sizeof *job);
    if (!mistake) {
        *err = ERR_MEMORY;
        mistake = "out of memory";
    }
    if (job) {
        job->client = client;
        job->method = request->method;
        buf_init(&job->answer, client->body_maximum);
        buf_init(&job->texts, 2 * HTTP_HEAD_MAXIMUM);
        if (copy_request(job, request)) {
            *err = ERR_OK;
            return job;
        }
        http_job_free(job);
    }
    snprintf(client->why, sizeof client->why, "%s", mistake);
    return NULL;
}

void http_job_free(struct http_job *job) {
    free(job->url);
    free(job->body);
    curl_slist_free_all(job->headers);
    curl_slist_free_all(job->resolve);
    buf_free(&job->answer);
    buf_free(&job->texts);
    free(job);
}

/* ---- to libcurl ---- */

static size_t on_body(char *data, size_t size, size_t count, void *context) {
    struct http_job *job = context;
    buf_append(&job->answer, data, size * count);
    job->too_large = job->answer.failed;
    return job->answer.failed ? 0 : size * count;
}

static size_t on_head(char *data, size_t size, size_t count, void *context) {
    (void)data;
    struct http_job *job = context;
    job->head += size * count;
    job->too_large = job->head > HTTP_HEAD_MAXIMUM;
    return job->too_large ? 0 : size * count;
}

static CURLcode on_tls(CURL *easy, void *context, void *argument) {
    (void)easy;
    struct http_client *client = argument;
    client->seen = (struct tls_seen){0};
    tls_watch(context, &client->seen);
    return CURLE_OK;
}

static void set_auth(CURL *easy, const struct http_client *client) {
    static const unsigned long ways[] = {[HTTP_AUTH_NONE] = 0,
                                         [HTTP_AUTH_BASIC] = CURLAUTH_BASIC,
                                         [HTTP_AUTH_DIGEST] = CURLAUTH_DIGEST,
                                         [HTTP_AUTH_BEARER] = CURLAUTH_BEARER};
    if (client->auth == HTTP_AUTH_NONE)
        return;
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, ways[client->auth]);
    if (client->auth == HTTP_AUTH_BEARER) {
        curl_easy_setopt(easy, CURLOPT_XOAUTH2_BEARER, client->password);
    } else {
        curl_easy_setopt(easy, CURLOPT_USERNAME, client->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, client->password);
    }
}

/* What is the same for every request of a client. Options that only set a number or a pointer
 * cannot fail; texts are copied, and the last of them tells whether there was memory. */
static CURL *easy_new(struct http_client *client) {
    CURL *easy = curl_easy_init();
    if (!easy)
        return NULL;
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)client->body_maximum);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, on_tls);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, client);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, client->pin ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, client->pin ? 0L : 2L);
    set_auth(easy, client);
    bool set =
        curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_USERAGENT, "derd/" DERD_VERSION) == CURLE_OK &&
        (!client->pin ||
         curl_easy_setopt(easy, CURLOPT_PINNEDPUBLICKEY, client->pin) == CURLE_OK) &&
        curl_easy_setopt(easy, CURLOPT_CAINFO, client->pin ? NULL : client->ca_file) == CURLE_OK &&
        curl_easy_setopt(easy, CURLOPT_CAPATH,
                         client->pin || client->ca_file ? NULL : tls_authorities()) == CURLE_OK;
    if (!set) {
        curl_easy_cleanup(easy);
        return NULL;
    }
    return easy;
}

static void set_method(CURL *easy, const struct http_job *job) {
    if (job->method == HTTP_GET) {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
        return;
    }
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)job->body_length);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, job->body ? job->body : "");
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, job->method == HTTP_PUT ? "PUT" : NULL);
}

enum err http_job_start(struct http_job *job) {
    struct http_client *client = job->client;
    uint64_t now = room_now_ms();
    int64_t left_ms = job->deadline_ms > now ? (int64_t)(job->deadline_ms - now) : 1;
    int64_t connect_ms =
        left_ms < client->connect_timeout_ms ? left_ms : client->connect_timeout_ms;
    CURL *easy = client->idle_count ? client->idle[--client->idle_count] : easy_new(client);
    job->head = 0;
    job->too_large = false;
    buf_clear(&job->answer);
    curl_slist_free_all(job->resolve);
    job->resolve = NULL;
    bool addressed = !client->resolved || append(&job->resolve, client->resolved);
    if (easy) {
        curl_easy_setopt(easy, CURLOPT_PRIVATE, job);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, job);
        curl_easy_setopt(easy, CURLOPT_HEADERDATA, job);
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, job->headers);
        curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)left_ms);
        curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
        curl_easy_setopt(easy, CURLOPT_RESOLVE, job->resolve);
        set_method(easy, job);
        if (addressed && curl_easy_setopt(easy, CURLOPT_URL, job->url) == CURLE_OK &&
            curl_multi_add_handle(client->multi, easy) == CURLM_OK) {
            job->easy = easy;
            return ERR_OK;
        }
        curl_easy_cleanup(easy);
    }
    job->result = ERR_MEMORY;
    snprintf(job->why, sizeof job->why, "out of memory");
    return ERR_MEMORY;
}

void http_job_stop(struct http_job *job) {
    struct http_client *client = job->client;
    if (!job->easy)
        return;
    curl_multi_remove_handle(client->multi, job->easy);
    client->idle[client->idle_count++] = job->easy;
    job->easy = NULL;
}

/* ---- the end ---- */

static bool has_begun(const struct http_job *job, CURLINFO phase) {
    curl_off_t after_us = 0;
    curl_easy_getinfo(job->easy, phase, &after_us);
    return after_us > 0;
}

static void explain_timeout(struct http_job *job) {
    const struct http_client *client = job->client;
    if (!has_begun(job, CURLINFO_PRETRANSFER_TIME_T))
        snprintf(job->why, sizeof job->why,
                 "no connection to %.80s port %u in time: is it switched on, and at this address?",
                 client->url.host, client->url.port);
    else
        snprintf(job->why, sizeof job->why, "no whole answer from %.80s port %u in time",
                 client->url.host, client->url.port);
}

static void explain(struct http_job *job, CURLcode code) {
    const struct url *url = &job->client->url;
    const char *what = NULL;
    long number = 0;
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        job->result = ERR_TIMEOUT;
        explain_timeout(job);
        return;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        job->result = ERR_REFUSED;
        tls_explain(&job->client->seen, url, job->client->pin != NULL, job->why, sizeof job->why);
        return;
    case CURLE_COULDNT_CONNECT:
        job->result = ERR_CLOSED;
        curl_easy_getinfo(job->easy, CURLINFO_OS_ERRNO, &number);
        snprintf(job->why, sizeof job->why, "cannot connect to %.80s port %u: %s", url->host,
                 url->port, number ? uv_strerror(-(int)number) : "nobody answers");
        return;
    case CURLE_WRITE_ERROR:
    case CURLE_FILESIZE_EXCEEDED:
        job->result = job->too_large || code == CURLE_FILESIZE_EXCEEDED ? ERR_LIMIT : ERR_MEMORY;
        what = job->result == ERR_LIMIT ? "sent an answer that is larger than allowed"
                                        : "sent an answer for which there is no memory";
        break;
    case CURLE_OUT_OF_MEMORY: /* also of a line of a header that is longer than libcurl takes */
        job->result = has_begun(job, CURLINFO_STARTTRANSFER_TIME_T) ? ERR_LIMIT : ERR_MEMORY;
        what = job->result == ERR_LIMIT ? "sent an answer that is larger than allowed"
                                        : "could not be asked: out of memory";
        break;
    case CURLE_SSL_CONNECT_ERROR:
        job->result = ERR_FORMAT;
        what = "does not speak TLS 1.2 or later, or has ended the connection at its beginning";
        break;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        job->result = ERR_FORMAT;
        what = "sent what is not HTTP";
        break;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
        job->result = ERR_CLOSED;
        what = "ended the connection before its answer was whole";
        break;
    default:
        job->result = ERR_CLOSED;
        snprintf(job->why, sizeof job->why, "%.80s port %u: %.100s", url->host, url->port,
                 curl_easy_strerror(code));
        return;
    }
    snprintf(job->why, sizeof job->why, "%.80s port %u %s", url->host, url->port, what);
}

/* Headers in memory of the job: libcurl's go with its next transfer. */
static void keep_headers(struct http_job *job) {
    struct http_answer *told = &job->told;
    size_t places[HTTP_HEADERS_MAXIMUM][2];
    struct curl_header *header = NULL;
    while (told->header_count < HTTP_HEADERS_MAXIMUM &&
           (header = curl_easy_nextheader(job->easy, CURLH_HEADER, -1, header))) {
        size_t *place = places[told->header_count], from = job->texts.length;
        buf_append(&job->texts, header->name, strlen(header->name) + 1);
        place[0] = from;
        place[1] = job->texts.length;
        buf_append(&job->texts, header->value, strlen(header->value) + 1);
        if (job->texts.failed)
            break;
        for (char *at = job->texts.data + from; *at; at++)
            *at = (char)tolower((unsigned char)*at);
        told->header_count++;
    }
    told->headers = job->kept;
    told->content_type = "";
    for (size_t i = told->header_count; i-- > 0;) {
        job->kept[i].name = job->texts.data + places[i][0];
        job->kept[i].value = job->texts.data + places[i][1];
        if (strcmp(job->kept[i].name, "content-type") == 0)
            told->content_type = job->kept[i].value;
    }
}

/* The URL of a redirect that may be followed, by libcurl's memory; NULL: none. */
static const char *redirect_of(const struct http_job *job, long status) {
    char *to = NULL;
    struct url url;
    const struct url *own = &job->client->url;
    if (job->method != HTTP_GET || job->redirects >= HTTP_REDIRECTS_MAXIMUM || status < 301 ||
        status > 308 || status == 304 || status == 305 || status == 306)
        return NULL;
    curl_easy_getinfo(job->easy, CURLINFO_REDIRECT_URL, &to);
    if (!to || url_parse(to, &url))
        return NULL;
    bool here = strcmp(url.scheme, own->scheme) == 0 && strcmp(url.host, own->host) == 0 &&
                url.port == own->port;
    return here ? to : NULL;
}

bool http_job_finish(struct http_job *job, CURLcode code) {
    long status = 0, connects = 0;
    curl_easy_getinfo(job->easy, CURLINFO_NUM_CONNECTS, &connects);
    job->client->figures.connects += (uint64_t)connects;
    if (code != CURLE_OK) {
        explain(job, code);
        http_job_stop(job);
        return true;
    }
    curl_easy_getinfo(job->easy, CURLINFO_RESPONSE_CODE, &status);
    const char *to = redirect_of(job, status);
    char *copy = to ? strdup(to) : NULL;
    if (copy) {
        http_job_stop(job);
        free(job->url);
        job->url = copy;
        job->redirects++;
        return http_job_start(job) != ERR_OK;
    }
    keep_headers(job);
    http_job_stop(job);
    if (status < 200 || status > 599) {
        explain(job, CURLE_WEIRD_SERVER_REPLY);
        return true;
    }
    job->result = ERR_OK;
    job->told.status = (int)status;
    job->told.body = buf_string(&job->answer);
    job->told.length = job->answer.length;
    return true;
}
