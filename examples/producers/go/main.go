// Sends one task with amqp091-go, and prints its id.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	amqp "github.com/rabbitmq/amqp091-go"
	"log"
	"os"
	"time"
)

func main() {
	queue, id := os.Getenv("GRID_ASYNC_TASK_QUEUE"), fmt.Sprintf("go-%d", time.Now().UnixNano())
	task := map[string]any{"task_id": id, "data": map[string]string{"text": "to be or not to be"}, "max_retry_count": 3}
	body, err := json.Marshal(task)
	check(err)
	time.AfterFunc(30*time.Second, func() { log.Fatal("RabbitMQ did not answer within 30 s") }) // for all of it
	connection, err := amqp.Dial(os.Getenv("GRID_ASYNC_TASK_AMQP_URL"))
	check(err)
	defer connection.Close()
	channel, err := connection.Channel()
	check(err)
	check(channel.Confirm(false))
	returned := channel.NotifyReturn(make(chan amqp.Return, 1)) // there is no such queue
	message := amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: "application/json", MessageId: id, Body: body}
	confirm, err := channel.PublishWithDeferredConfirmWithContext(context.TODO(), "", queue, true, false, message)
	check(err)
	if !confirm.Wait() || len(returned) > 0 {
		log.Fatalf("RabbitMQ did not take the task; is there a queue %s?", queue)
	}
	fmt.Println(id)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
