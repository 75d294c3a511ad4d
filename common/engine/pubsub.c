/* Subscriptions and the delivery of messages. */
#include "engine/engine_priv.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/sometimes.h"
#include "resp/glob.h"

#define KEEP_BYTES ((size_t)256 << 10) /* of an encoded message, from one to the next */

static struct firn_topic *topic_of(struct firn_list *link)
{
    return FIRN_CONTAINER(link, struct firn_topic, link);
}

/* ---- the tables */

static uint64_t topic_hash(const struct firn_pubsub *p, enum firn_topic_kind kind,
                           struct firn_slice name)
{
    return firn_xxh3_seed(name.data, name.len, p->seed + kind);
}

static uint64_t subscription_hash(const struct firn_topic *t, const struct firn_session *s)
{
    return t->node.hash ^ (firn_conn_id(s->c) * UINT64_C(0x9E3779B97F4A7C15));
}

struct firn_topic *firn_engine__topic(const struct firn_pubsub *p, enum firn_topic_kind kind,
                                      struct firn_slice name)
{
    struct firn_hashtab_node *n = firn_hashtab_find(&p->topics, topic_hash(p, kind, name));
    for (; n; n = firn_hashtab_next(n)) {
        struct firn_topic *t = FIRN_CONTAINER(n, struct firn_topic, node);
        if (t->kind == kind && firn_slice_eq(firn_engine__topic_name(t), name))
            return t;
    }
    return NULL;
}

static struct firn_subscription *find_subscription(const struct firn_pubsub *p,
                                                   const struct firn_topic *t,
                                                   const struct firn_session *s)
{
    struct firn_hashtab_node *n = firn_hashtab_find(&p->subscriptions, subscription_hash(t, s));
    for (; n; n = firn_hashtab_next(n)) {
        struct firn_subscription *sub = FIRN_CONTAINER(n, struct firn_subscription, node);
        if (sub->topic == t && sub->s == s)
            return sub;
    }
    return NULL;
}

static size_t topic_bytes(size_t len)
{
    return sizeof(struct firn_topic) + len;
}

static void count(struct firn_pubsub *p, size_t bytes)
{
    p->bytes = bytes;
    firn_engine__remembered(p->e);
}

static struct firn_topic *topic_create(struct firn_pubsub *p, enum firn_topic_kind kind,
                                       struct firn_slice name)
{
    struct firn_topic *t = firn_malloc(topic_bytes(name.len));
    if (!t)
        return NULL;
    *t = (struct firn_topic){.kind = kind, .len = name.len};
    if (name.len)
        memcpy(t->name, name.data, name.len);
    if (firn_hashtab_add(&p->topics, &t->node, topic_hash(p, kind, name)) != FIRN_OK) {
        firn_free(t);
        return NULL;
    }
    firn_list_init(&t->subs);
    firn_list_push(&p->all[kind], &t->link);
    t->events = firn_engine__topic_events(kind, name);
    p->keyspace_topics += (t->events & FIRN_TOPIC_KEYSPACE) != 0;
    p->keyevent_topics += (t->events & FIRN_TOPIC_KEYEVENT) != 0;
    p->n[kind]++;
    count(p, p->bytes + topic_bytes(t->len));
    return t;
}

static void topic_drop_unused(struct firn_pubsub *p, struct firn_topic *t)
{
    if (t->nsubs)
        return;
    firn_hashtab_remove(&p->topics, &t->node);
    firn_list_remove(&t->link);
    p->keyspace_topics -= (t->events & FIRN_TOPIC_KEYSPACE) != 0;
    p->keyevent_topics -= (t->events & FIRN_TOPIC_KEYEVENT) != 0;
    p->n[t->kind]--;
    count(p, p->bytes - topic_bytes(t->len));
    firn_free(t);
}

static unsigned total(const struct firn_session_subs *subs)
{
    unsigned n = 0;
    for (size_t k = 0; k < FIRN_TOPIC_KINDS; k++)
        n += subs->n[k];
    return n;
}

static enum firn_status subscription_create(struct firn_pubsub *p, struct firn_topic *t,
                                            struct firn_session *s)
{
    struct firn_subscription *sub = firn_calloc(1, sizeof *sub);
    if (!sub)
        return FIRN_LIMIT;
    if (firn_hashtab_add(&p->subscriptions, &sub->node, subscription_hash(t, s)) != FIRN_OK) {
        firn_free(sub);
        return FIRN_LIMIT;
    }
    sub->topic = t;
    sub->s = s;
    firn_list_push(&t->subs, &sub->of_topic);
    t->nsubs++;
    firn_list_push(&s->subs.list[t->kind], &sub->of_session);
    s->subs.n[t->kind]++;
    count(p, p->bytes + sizeof *sub);
    if (total(&s->subs) == 1)
        firn_conn_set_subscriber(s->c, true);
    firn_engine__feed_add(p->e, &p->listener);
    return FIRN_OK;
}

static void subscription_free(struct firn_pubsub *p, struct firn_subscription *sub)
{
    struct firn_session *s = sub->s;
    struct firn_topic *t = sub->topic;
    firn_hashtab_remove(&p->subscriptions, &sub->node);
    firn_list_remove(&sub->of_topic);
    firn_list_remove(&sub->of_session);
    t->nsubs--;
    s->subs.n[t->kind]--;
    count(p, p->bytes - sizeof *sub);
    firn_free(sub);
    topic_drop_unused(p, t);
    if (total(&s->subs) == 0)
        firn_conn_set_subscriber(s->c, false);
    if (p->subscriptions.len == 0)
        firn_engine__feed_remove(&p->listener);
}

enum firn_status firn_engine__subscribe(struct firn_session *s, enum firn_topic_kind kind,
                                        struct firn_slice name)
{
    struct firn_pubsub *p = &s->e->pubsub;
    struct firn_topic *t = firn_engine__topic(p, kind, name);
    if (t && find_subscription(p, t, s))
        return FIRN_OK;
    size_t more = sizeof(struct firn_subscription) + (t ? 0 : topic_bytes(name.len));
    uint64_t max =
        firn_engine__remembered_max(s->e, FIRN_REMEMBERED_SUBSCRIPTIONS, FIRN_PUBSUB_BYTES_MAX);
    if (name.len > FIRN_TOPIC_NAME_MAX || p->bytes + more > max)
        return FIRN_LIMIT;
    if (!t)
        t = topic_create(p, kind, name);
    if (!t)
        return FIRN_LIMIT;
    enum firn_status st = subscription_create(p, t, s);
    if (st != FIRN_OK)
        topic_drop_unused(p, t);
    return st;
}

void firn_engine__unsubscribe(struct firn_session *s, enum firn_topic_kind kind,
                              struct firn_slice name)
{
    struct firn_pubsub *p = &s->e->pubsub;
    struct firn_topic *t = firn_engine__topic(p, kind, name);
    struct firn_subscription *sub = t ? find_subscription(p, t, s) : NULL;
    if (sub)
        subscription_free(p, sub);
}

void firn_engine__unsubscribe_all(struct firn_session *s)
{
    for (size_t k = 0; k < FIRN_TOPIC_KINDS; k++) {
        FIRN_LIST_EACH(it, nx, &s->subs.list[k])
        {
            subscription_free(&s->e->pubsub,
                              FIRN_CONTAINER(it, struct firn_subscription, of_session));
        }
    }
}

/* ---- delivery */

/* A message as the subscribers of t get it. */
static void encode(struct firn_reply *out, const struct firn_topic *t, struct firn_slice channel,
                   struct firn_slice message)
{
    static const char *const word[] = {"message", "pmessage", "smessage"};
    bool pattern = t->kind == FIRN_TOPIC_PATTERN;
    firn_reply_push(out, pattern ? 4 : 3);
    firn_reply_str(out, word[t->kind]);
    if (pattern)
        firn_reply_bulk(out, firn_engine__topic_name(t));
    firn_reply_bulk(out, channel);
    firn_reply_bulk(out, message);
}

/* Make room for the next message. */
static void rewind_push(struct firn_reply *push)
{
    if (push->buf.cap > KEEP_BYTES || push->failed)
        firn_buf_clear(&push->buf);
    push->buf.len = 0;
    push->failed = false;
}

static size_t deliver_to(struct firn_pubsub *p, struct firn_topic *t, struct firn_slice channel,
                         struct firn_slice message)
{
    for (size_t i = 0; i < 2; i++)
        rewind_push(&p->push[i]);
    FIRN_LIST_EACH(it, nx, &t->subs)
    {
        struct firn_conn *c = FIRN_CONTAINER(it, struct firn_subscription, of_topic)->s->c;
        struct firn_reply *push = &p->push[firn_conn_resp(c) == 3];
        if (!push->buf.len)
            encode(push, t, channel, message);
        if (push->failed)
            firn_conn_close(c, false); /* it must not miss a message and not know it */
        else
            firn_conn_push(c, firn_buf_slice(&push->buf));
    }
    p->delivered += t->nsubs;
    return t->nsubs;
}

size_t firn_engine__deliver(struct firn_pubsub *p, bool shard, struct firn_slice channel,
                            struct firn_slice message)
{
    struct firn_topic *t =
        firn_engine__topic(p, shard ? FIRN_TOPIC_SHARD : FIRN_TOPIC_CHANNEL, channel);
    size_t n = t ? deliver_to(p, t, channel, message) : 0;
    if (shard)
        return n;
    FIRN_LIST_EACH(it, nx, &p->all[FIRN_TOPIC_PATTERN])
    {
        t = topic_of(it);
        if (firn_glob_match(firn_engine__topic_name(t), channel, false))
            n += deliver_to(p, t, channel, message);
    }
    return n;
}

size_t firn_engine__receivers(const struct firn_pubsub *p, bool shard, struct firn_slice channel)
{
    const struct firn_topic *t =
        firn_engine__topic(p, shard ? FIRN_TOPIC_SHARD : FIRN_TOPIC_CHANNEL, channel);
    size_t n = t ? t->nsubs : 0;
    if (shard)
        return n;
    FIRN_LIST_EACH(it, nx, &p->all[FIRN_TOPIC_PATTERN])
    {
        t = topic_of(it);
        if (firn_glob_match(firn_engine__topic_name(t), channel, false))
            n += t->nsubs;
    }
    return n;
}

/* ---- what the log tells */

static void on_record(void *arg, const struct firn_batch_header *batch, const struct firn_record *r)
{
    struct firn_pubsub *p = arg;
    (void)batch;
    if (r->kind != FIRN_RECORD_PUBLISH) {
        firn_engine__notify(p, r);
        return;
    }
    bool shard = r->event == FIRN_EVENT_SPUBLISH;
    if (!shard && r->event != FIRN_EVENT_PUBLISH)
        return; /* a kind of message of a later version */
    p->messages += firn_engine__deliver(p, shard, r->key, r->value) > 0;
}

/* Messages were missed and cannot be had any more: who is subscribed must know. */
static void on_gap(void *arg)
{
    struct firn_pubsub *p = arg;
    FIRN_LIST_EACH(it, nx, &p->e->sessions)
    {
        struct firn_session *s = FIRN_CONTAINER(it, struct firn_session, link);
        if (total(&s->subs) == 0)
            continue;
        FIRN_SOMETIMES("engine: a subscriber closed for a gap");
        p->gap_closed++;
        firn_engine__unsubscribe_all(s);
        firn_conn_close(s->c, true);
    }
}

/* ---- life */

void firn_engine__pubsub_init(struct firn_engine *e)
{
    struct firn_pubsub *p = &e->pubsub;
    p->e = e;
    p->seed = firn_random_u64(e->db->env);
    for (size_t k = 0; k < FIRN_TOPIC_KINDS; k++)
        firn_list_init(&p->all[k]);
    firn_list_init(&p->listener.link);
    p->listener.record = on_record;
    p->listener.gap = on_gap;
    p->listener.arg = p;
    firn_reply_init(&p->push[0], SIZE_MAX, 2);
    firn_reply_init(&p->push[1], SIZE_MAX, 3);
    firn_buf_init(&p->channel, FIRN_TOPIC_NAME_MAX);
}

void firn_engine__pubsub_clear(struct firn_pubsub *p)
{
    FIRN_ASSERT(p->subscriptions.len == 0 && p->topics.len == 0);
    firn_hashtab_clear(&p->topics);
    firn_hashtab_clear(&p->subscriptions);
    firn_reply_clear(&p->push[0]);
    firn_reply_clear(&p->push[1]);
    firn_buf_clear(&p->channel);
}

void firn_engine__subs_init(struct firn_session_subs *subs)
{
    for (size_t k = 0; k < FIRN_TOPIC_KINDS; k++)
        firn_list_init(&subs->list[k]);
}
