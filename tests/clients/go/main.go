// go-redis (github.com/redis/go-redis/v9): main WRITER_PORT READER_PORT
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

var ctx = context.Background()

func must(good bool, what string, args ...any) {
	if !good {
		fmt.Fprintf(os.Stderr, what+"\n", args...)
		os.Exit(1)
	}
}

func open(port string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + port, ClientName: "go-redis", MaxRetries: 20})
}

func strs(w, r *redis.Client) {
	must(w.Set(ctx, "bin\x00\xff", "\r\n\x00", 0).Err() == nil, "SET")
	must(r.Get(ctx, "bin\x00\xff").Val() == "\r\n\x00", "GET on the reader")
	must(w.SetNX(ctx, "once", 1, 0).Val() && !w.SetNX(ctx, "once", 2, 0).Val(), "SET NX")
	must(w.IncrBy(ctx, "n", 5).Val() == 5, "INCRBY")
	got := r.MGet(ctx, "n", "none").Val()
	must(len(got) == 2 && got[0] == "5" && got[1] == nil, "MGET: %v", got)
	err := r.Set(ctx, "a", 1, 0).Err()
	must(err != nil && strings.HasPrefix(err.Error(), "READONLY"), "a write on a reader: %v", err)
}

func pipeline(w *redis.Client) {
	p := w.Pipeline()
	for i := range 1000 {
		p.Set(ctx, fmt.Sprintf("key:%d", i), i, 0)
		p.Get(ctx, fmt.Sprintf("key:%d", i))
	}
	cmds, err := p.Exec(ctx)
	must(err == nil && len(cmds) == 2000, "pipeline: %v", err)
	for i := range 1000 {
		must(cmds[2*i+1].(*redis.StringCmd).Val() == fmt.Sprint(i), "reply %d", i)
	}
}

func transaction(w *redis.Client) {
	var all sync.WaitGroup
	bump := func(t *redis.Tx) error {
		n, err := t.Get(ctx, "balance").Int()
		if err != nil && err != redis.Nil {
			return err
		}
		_, err = t.TxPipelined(ctx, func(p redis.Pipeliner) error { return p.Set(ctx, "balance", n+1, 0).Err() })
		return err
	}
	for range 4 {
		all.Add(1)
		go func() {
			defer all.Done()
			for range 25 {
				for errors.Is(w.Watch(ctx, bump, "balance"), redis.TxFailedErr) {
				}
			}
		}()
	}
	all.Wait()
	must(w.Get(ctx, "balance").Val() == "100", "balance: %s", w.Get(ctx, "balance").Val())
}

func pubsub(w *redis.Client, port string) {
	c := open(port)
	s := c.Subscribe(ctx, "news")
	_, err := s.Receive(ctx)
	must(err == nil, "SUBSCRIBE: %v", err)
	must(w.Publish(ctx, "news", "hello").Err() == nil, "PUBLISH")
	m, err := s.ReceiveMessage(ctx)
	must(err == nil && m.Payload == "hello", "message: %v", err)
	s.Close()
	c.Close()
}

func main() {
	w, r := open(os.Args[1]), open(os.Args[2])
	must(w.Ping(ctx).Val() == "PONG" && r.ClientGetName(ctx).Val() == "go-redis", "connect: %v", w.Ping(ctx).Err())
	fmt.Println("ok connect")
	strs(w, r)
	fmt.Println("ok strings")
	pipeline(w)
	fmt.Println("ok pipeline")
	transaction(w)
	fmt.Println("ok transaction")
	pubsub(w, os.Args[1])
	pubsub(w, os.Args[2])
	fmt.Println("ok pubsub")
	found := map[string]bool{}
	for it := r.Scan(ctx, 0, "key:*", 100).Iterator(); it.Next(ctx); {
		found[it.Val()] = true
	}
	must(len(found) == 1000, "SCAN found %d", len(found))
	fmt.Println("ok scan")
	fmt.Println("skip tracking go-redis has no client-side cache")
	must(w.Set(ctx, "before", "kill", 0).Err() == nil, "SET")
	fmt.Println("kill")
	_, err := bufio.NewReader(os.Stdin).ReadString('\n')
	must(err == nil, "no word that the writer is back")
	var got string
	for range 50 {
		if got = w.Get(ctx, "before").Val(); got != "" {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	must(got == "kill" && w.Set(ctx, "after", "kill", 0).Err() == nil, "after the kill: %q", got)
	must(r.Get(ctx, "after").Val() == "kill", "on the reader")
	fmt.Println("ok reconnect")
}
