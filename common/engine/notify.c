/* Keyspace events: what the record that changed a key says of it, as messages to the channels
 * __keyspace@<db>__:<key> and __keyevent@<db>__:<event>
 * (redis.io/docs/manual/keyspace-notifications). Each node makes them of the log it tails; nothing
 * more is written for them but the event's code. */
#include "engine/engine_priv.h"

#include "resp/glob.h"

#include <string.h>

#define KEYSPACE "__keyspace@"
#define KEYEVENT "__keyevent@"
#define PREFIX_LEN (sizeof KEYSPACE - 1) /* of both */

/* The letter of notify-keyspace-events for an event's (first) name: generic, string or expired.
 * The others are of Redis's other types, of eviction, of misses and of new keys: what no log tells.
 */
static char class_of(unsigned event)
{
    switch (event) {
    case FIRN_EVENT_SET:
    case FIRN_EVENT_SETRANGE:
    case FIRN_EVENT_INCRBY:
    case FIRN_EVENT_INCRBYFLOAT:
    case FIRN_EVENT_APPEND:
    case FIRN_EVENT_SETBIT:
    case FIRN_EVENT_SET_EXPIRE:
    case FIRN_EVENT_INCRBY_EXPIRE:
    case FIRN_EVENT_INCRBY_PERSIST:
    case FIRN_EVENT_INCRBYFLOAT_EXPIRE:
    case FIRN_EVENT_INCRBYFLOAT_PERSIST:
        return '$';
    case FIRN_EVENT_EXPIRED:
        return 'x';
    default:
        return 'g';
    }
}

unsigned firn_engine__topic_events(enum firn_topic_kind kind, struct firn_slice name)
{
    unsigned events = 0;
    if (kind == FIRN_TOPIC_SHARD)
        return 0;
    size_t literal = kind == FIRN_TOPIC_PATTERN ? firn_glob_prefix(name) : name.len;
    /* A channel must have the whole prefix; a pattern may go on with anything. */
    if (kind == FIRN_TOPIC_CHANNEL && literal < PREFIX_LEN)
        return 0;
    size_t n = literal < PREFIX_LEN ? literal : PREFIX_LEN;
    if (n == 0 || memcmp(name.data, KEYSPACE, n) == 0)
        events |= FIRN_TOPIC_KEYSPACE;
    if (n == 0 || memcmp(name.data, KEYEVENT, n) == 0)
        events |= FIRN_TOPIC_KEYEVENT;
    return events;
}

/* One event to one kind of channel: prefix, database and `subject` name it, `message` is told. A
 * channel that memory is too short for is one that its subscribers would miss: they are told as for
 * skipped slots. */
static void send(struct firn_pubsub *p, const char *prefix, int db, struct firn_slice subject,
                 struct firn_slice message)
{
    struct firn_buf *b = &p->channel;
    b->len = 0;
    enum firn_status st = firn_buf_printf(b, "%s%d__:", prefix, db);
    if (st == FIRN_OK)
        st = firn_buf_append(b, subject.data, subject.len);
    if (st == FIRN_OK)
        p->events += firn_engine__deliver(p, false, firn_buf_slice(b), message) > 0;
    else
        p->listener.gap(p);
}

static void send_both(struct firn_pubsub *p, const char *letters, const struct firn_record *r,
                      const char *event)
{
    int db = firn_key_db(r->key);
    struct firn_slice key = firn_key_user(r->key), name = firn_slice_str(event);
    if (p->keyspace_topics && strchr(letters, 'K'))
        send(p, KEYSPACE, db, key, name);
    if (p->keyevent_topics && strchr(letters, 'E'))
        send(p, KEYEVENT, db, name, key);
}

static bool asked_for(const char *letters, char class)
{
    return strchr(letters, class) || strchr(letters, 'A');
}

void firn_engine__notify(struct firn_pubsub *p, const struct firn_record *r)
{
    if (!p->keyspace_topics && !p->keyevent_topics)
        return;
    const char *letters = p->e->db->settings->notify_keyspace_events;
    const char *event = firn_event_name(r->event);
    bool of_key =
        r->kind == FIRN_RECORD_PUT || r->kind == FIRN_RECORD_DEL || r->kind == FIRN_RECORD_EXPIRED;
    if (!*letters || !event || !of_key || firn_key_db(r->key) < 0)
        return;
    if (asked_for(letters, class_of(r->event)))
        send_both(p, letters, r, event);
    const char *second = firn_event_second_name(r->event); /* of the key's time to live */
    if (second && asked_for(letters, 'g'))
        send_both(p, letters, r, second);
}
