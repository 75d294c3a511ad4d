import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisURI;
import io.lettuce.core.ScanIterator;
import io.lettuce.core.ScanArgs;
import io.lettuce.core.SetArgs;
import io.lettuce.core.TransactionResult;
import io.lettuce.core.TrackingArgs;
import io.lettuce.core.api.StatefulRedisConnection;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import io.lettuce.core.support.caching.CacheFrontend;
import io.lettuce.core.support.caching.ClientSideCaching;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.JedisPool;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.Pipeline;
import redis.clients.jedis.Response;
import redis.clients.jedis.Transaction;
import redis.clients.jedis.exceptions.JedisConnectionException;
import redis.clients.jedis.exceptions.JedisDataException;
import redis.clients.jedis.params.ScanParams;
import redis.clients.jedis.params.SetParams;
import redis.clients.jedis.resps.ScanResult;

/** Jedis and Lettuce: Clients jedis|lettuce WRITER_PORT READER_PORT. */
public class Clients {
    static void must(boolean good, String what) {
        if (!good) throw new AssertionError(what);
    }

    static void ok(String step) {
        System.out.println("ok " + step);
    }

    static void kill() throws Exception {
        System.out.println("kill");
        must(System.in.read() >= 0, "no word that the writer is back");
    }

    static void jedisSubscribe(Jedis w, int port) throws Exception {
        BlockingQueue<String> got = new LinkedBlockingQueue<>();
        JedisPubSub s = new JedisPubSub() {
            @Override public void onMessage(String channel, String text) { got.add(text); }
            @Override public void onSubscribe(String channel, int n) { got.add("subscribed"); }
        };
        Thread t = new Thread(() -> { try (Jedis c = new Jedis("127.0.0.1", port)) { c.subscribe(s, "news"); } });
        t.start();
        must("subscribed".equals(got.poll(10, TimeUnit.SECONDS)), "SUBSCRIBE");
        w.publish("news", "hello");
        must("hello".equals(got.poll(10, TimeUnit.SECONDS)), "message");
        s.unsubscribe();
        t.join();
    }

    static void jedis(int writer, int reader) throws Exception {
        JedisPool pool = new JedisPool("127.0.0.1", writer);
        Jedis w = new Jedis("127.0.0.1", writer), r = new Jedis("127.0.0.1", reader), other = new Jedis("127.0.0.1", writer);
        must(w.ping().equals("PONG") && w.clientSetname("jedis").equals("OK") && w.clientGetname().equals("jedis"), "PING");
        ok("connect");
        must(w.set("bin\0".getBytes(), "\r\n\0".getBytes()).equals("OK"), "SET");
        must(new String(r.get("bin\0".getBytes())).equals("\r\n\0"), "GET on the reader");
        must(w.set("once", "1", SetParams.setParams().nx()) != null, "SET NX");
        must(w.set("once", "2", SetParams.setParams().nx()) == null, "SET NX again");
        must(w.incrBy("n", 5) == 5 && r.mget("n", "none").get(1) == null, "INCRBY, MGET");
        try {
            r.set("a", "1");
            must(false, "a write on a reader");
        } catch (JedisDataException e) {
            must(e.getMessage().startsWith("READONLY"), e.getMessage());
        }
        ok("strings");
        Pipeline p = w.pipelined();
        List<Response<String>> got = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            p.set("key:" + i, "" + i);
            got.add(p.get("key:" + i));
        }
        p.sync();
        for (int i = 0; i < 1000; i++) must(got.get(i).get().equals("" + i), "reply " + i);
        ok("pipeline");
        w.watch("balance");
        other.set("balance", "10");
        Transaction t = w.multi();
        t.set("balance", "1");
        must(t.exec() == null, "EXEC after another write");
        w.watch("balance");
        t = w.multi();
        Response<Long> n = t.incr("balance");
        must(t.exec() != null && n.get() == 11, "EXEC");
        ok("transaction");
        jedisSubscribe(w, writer);
        jedisSubscribe(w, reader);
        ok("pubsub");
        Set<String> found = new HashSet<>();
        String cursor = ScanParams.SCAN_POINTER_START;
        do {
            ScanResult<String> page = r.scan(cursor, new ScanParams().match("key:*").count(100));
            found.addAll(page.getResult());
            cursor = page.getCursor();
        } while (!cursor.equals("0"));
        must(found.size() == 1000, "SCAN found " + found.size());
        ok("scan");
        System.out.println("skip tracking Jedis has it for pools only");
        w.set("before", "kill");
        kill();
        for (int i = 0; i < 50; i++) {
            try (Jedis c = pool.getResource()) {
                must(c.get("before").equals("kill") && c.set("after", "kill").equals("OK"), "after the kill");
                break;
            } catch (JedisConnectionException e) {
                must(i < 49, e.toString());
                Thread.sleep(100);
            }
        }
        must(r.get("after").equals("kill"), "on the reader");
        ok("reconnect");
    }

    static void lettuceSubscribe(RedisClient client, RedisCommands<String, String> w, int port) throws Exception {
        BlockingQueue<String> got = new LinkedBlockingQueue<>();
        var s = client.connectPubSub(RedisURI.create("127.0.0.1", port));
        s.addListener(new RedisPubSubAdapter<>() {
            @Override public void message(String channel, String text) { got.add(text); }
            @Override public void message(String pattern, String channel, String text) { got.add("p" + text); }
        });
        s.sync().subscribe("news");
        s.sync().psubscribe("n?ws");
        w.publish("news", "hello");
        Set<String> both = new HashSet<>(List.of(got.poll(10, TimeUnit.SECONDS), got.poll(10, TimeUnit.SECONDS)));
        must(both.equals(Set.of("hello", "phello")), "messages: " + both);
        s.close();
    }

    static void lettuceTracking(RedisClient client, RedisCommands<String, String> w, int port) throws Exception {
        StatefulRedisConnection<String, String> c = client.connect(RedisURI.create("127.0.0.1", port));
        Map<String, String> near = new ConcurrentHashMap<>();
        w.set("cached", "old");
        CacheFrontend<String, String> cache =
            ClientSideCaching.enable(io.lettuce.core.support.caching.CacheAccessor.forMap(near), c, TrackingArgs.Builder.enabled());
        must(cache.get("cached").equals("old") && near.containsKey("cached"), "it is cached");
        w.set("cached", "new");
        for (int i = 0; i < 500 && !"new".equals(cache.get("cached")); i++) Thread.sleep(10);
        must("new".equals(cache.get("cached")), "the cached value stays");
        c.close();
    }

    static void lettuce(int writer, int reader) throws Exception {
        RedisClient client = RedisClient.create();
        var w = client.connect(RedisURI.create("127.0.0.1", writer)).sync();
        var r = client.connect(RedisURI.create("127.0.0.1", reader)).sync();
        var other = client.connect(RedisURI.create("127.0.0.1", writer)).sync();
        must(w.ping().equals("PONG") && w.clientSetname("lettuce").equals("OK"), "PING");
        ok("connect");
        must(w.set("a\0b", "\r\n\0").equals("OK") && r.get("a\0b").equals("\r\n\0"), "SET, GET on the reader");
        must(w.set("once", "1", SetArgs.Builder.nx()) != null && w.set("once", "2", SetArgs.Builder.nx()) == null, "SET NX");
        must(w.incrby("n", 5) == 5 && !r.mget("n", "none").get(1).hasValue(), "INCRBY, MGET");
        try {
            r.set("a", "1");
            must(false, "a write on a reader");
        } catch (io.lettuce.core.RedisCommandExecutionException e) {
            must(e.getMessage().startsWith("READONLY"), e.getMessage());
        }
        ok("strings");
        var async = w.getStatefulConnection().async();
        var got = new ArrayList<io.lettuce.core.RedisFuture<String>>();
        for (int i = 0; i < 1000; i++) {
            async.set("key:" + i, "" + i);
            got.add(async.get("key:" + i));
        }
        for (int i = 0; i < 1000; i++) must(got.get(i).get().equals("" + i), "reply " + i);
        ok("pipeline");
        w.watch("balance");
        other.set("balance", "10");
        w.multi();
        w.set("balance", "1");
        must(w.exec().wasDiscarded(), "EXEC after another write");
        w.watch("balance");
        w.multi();
        w.incr("balance");
        TransactionResult done = w.exec();
        must(!done.wasDiscarded() && done.<Long>get(0) == 11, "EXEC");
        ok("transaction");
        lettuceSubscribe(client, w, writer);
        lettuceSubscribe(client, w, reader);
        ok("pubsub");
        Set<String> found = new HashSet<>();
        ScanIterator.scan(r, ScanArgs.Builder.matches("key:*").limit(100)).forEachRemaining(found::add);
        must(found.size() == 1000, "SCAN found " + found.size());
        ok("scan");
        lettuceTracking(client, w, writer);
        lettuceTracking(client, w, reader);
        ok("tracking");
        w.set("before", "kill");
        kill();
        must(w.get("before").equals("kill") && w.set("after", "kill").equals("OK"), "after the kill");
        must(r.get("after").equals("kill"), "on the reader");
        ok("reconnect");
        client.shutdown();
    }

    public static void main(String[] args) throws Exception {
        int writer = Integer.parseInt(args[1]), reader = Integer.parseInt(args[2]);
        if (args[0].equals("jedis")) jedis(writer, reader);
        else lettuce(writer, reader);
        System.exit(0);
    }
}
