/* Pub/sub: who is subscribed to what, and the delivery of messages. A message is a record of the
 * log and is delivered when its slot is durable, by every node that has subscribers (feed_priv.h);
 * a keyspace event is made of the record that changed the key (notify.c). Loop thread only. */
#ifndef FIRN_ENGINE_PUBSUB_PRIV_H
#define FIRN_ENGINE_PUBSUB_PRIV_H

#include "base/hashtab.h"
#include "engine/feed_priv.h"
#include "resp/reply.h"

struct firn_session;

/* Memory of all subscriptions of a node, or its part of `memory`; further ones are refused. */
#define FIRN_PUBSUB_BYTES_MAX ((size_t)256 << 20)
/* A name may be as long as the keyspace channel of the longest key. */
#define FIRN_TOPIC_NAME_MAX (65535 + 32)

enum firn_topic_kind { FIRN_TOPIC_CHANNEL, FIRN_TOPIC_PATTERN, FIRN_TOPIC_SHARD, FIRN_TOPIC_KINDS };

/* Which keyspace events a topic may match; bits. */
enum firn_topic_events {
    FIRN_TOPIC_KEYSPACE = 1, /* __keyspace@<db>__:<key> */
    FIRN_TOPIC_KEYEVENT = 2, /* __keyevent@<db>__:<event> */
};

/* A channel, pattern or shard channel that somebody is subscribed to. */
struct firn_topic {
    struct firn_hashtab_node node; /* in pubsub->topics, by kind and name */
    struct firn_list link;         /* in pubsub->all[kind] */
    struct firn_list subs;         /* struct firn_subscription.of_topic */
    size_t nsubs;
    enum firn_topic_kind kind;
    unsigned events; /* enum firn_topic_events */
    size_t len;
    uint8_t name[];
};

struct firn_subscription {
    struct firn_hashtab_node node; /* in pubsub->subscriptions, by topic and session */
    struct firn_list of_topic, of_session;
    struct firn_topic *topic;
    struct firn_session *s;
};

/* What a session is subscribed to. */
struct firn_session_subs {
    struct firn_list list[FIRN_TOPIC_KINDS]; /* struct firn_subscription.of_session, oldest first */
    unsigned n[FIRN_TOPIC_KINDS];
};

struct firn_pubsub {
    struct firn_engine *e;
    uint64_t seed; /* of the hashes: clients choose the names */
    struct firn_hashtab topics, subscriptions;
    struct firn_list all[FIRN_TOPIC_KINDS];  /* struct firn_topic.link */
    size_t n[FIRN_TOPIC_KINDS];              /* topics */
    size_t bytes;                            /* of topics and subscriptions */
    size_t keyspace_topics, keyevent_topics; /* topics that may match such an event */
    struct firn_feed_listener listener;      /* listens while anybody is subscribed */
    struct firn_reply push[2];               /* the message at hand in RESP2 and RESP3 */
    struct firn_buf channel;                 /* the keyspace channel at hand */
    uint64_t messages;                       /* that had a subscriber */
    uint64_t delivered;                      /* to subscribers */
    uint64_t events;                         /* keyspace events that had a subscriber */
    uint64_t gap_closed;                     /* subscribers closed because slots were skipped */
};

void firn_engine__pubsub_init(struct firn_engine *e);
/* When every session is closed. */
void firn_engine__pubsub_clear(struct firn_pubsub *p);
void firn_engine__subs_init(struct firn_session_subs *subs);

/* OK also when it was subscribed already. LIMIT: memory, or FIRN_PUBSUB_BYTES_MAX. O(1). */
enum firn_status firn_engine__subscribe(struct firn_session *s, enum firn_topic_kind kind,
                                        struct firn_slice name) FIRN_MUST_USE;
/* Harmless when it is not subscribed. O(1). */
void firn_engine__unsubscribe(struct firn_session *s, enum firn_topic_kind kind,
                              struct firn_slice name);
void firn_engine__unsubscribe_all(struct firn_session *s);
/* The topic of that name, or NULL: nobody is subscribed. O(1). */
struct firn_topic *firn_engine__topic(const struct firn_pubsub *p, enum firn_topic_kind kind,
                                      struct firn_slice name);
static inline struct firn_slice firn_engine__topic_name(const struct firn_topic *t)
{
    return firn_slice_of(t->name, t->len);
}

/* How often a message to this channel would be delivered here. O(patterns). */
size_t firn_engine__receivers(const struct firn_pubsub *p, bool shard, struct firn_slice channel);
/* Deliver a message to everybody here who is subscribed to its channel or, but for shard channels,
 * to a pattern that matches it; gives how often. Encoded once per topic and protocol version,
 * copied once per subscriber. O(patterns + deliveries). */
size_t firn_engine__deliver(struct firn_pubsub *p, bool shard, struct firn_slice channel,
                            struct firn_slice message);

/* ---- notify.c */
/* Deliver the keyspace events of a record, as the setting notify-keyspace-events of this moment has
 * them, if anybody may be subscribed to one. */
void firn_engine__notify(struct firn_pubsub *p, const struct firn_record *r);
/* Bits of enum firn_topic_events that a channel or pattern of this name may match. */
unsigned firn_engine__topic_events(enum firn_topic_kind kind, struct firn_slice name);

#endif
