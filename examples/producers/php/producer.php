<?php
// Sends one task with php-amqplib, and prints its id.
@include 'PhpAmqpLib/autoload.php'; // Debian's package; with Composer: require 'vendor/autoload.php'

use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;

$url = parse_url(getenv('GRID_ASYNC_TASK_AMQP_URL') ?: 'amqp://guest:guest@localhost/%2F');
$queue = getenv('GRID_ASYNC_TASK_QUEUE') ?: 'task_queue';
$id = 'php-' . bin2hex(random_bytes(16));
$task = ['task_id' => $id, 'data' => ['text' => 'to be or not to be'], 'max_retry_count' => 3];

$vhost = rawurldecode(substr($url['path'] ?? '/%2F', 1));
[$user, $password] = [rawurldecode($url['user']), rawurldecode($url['pass'])];
$limits = [false, 'AMQPLAIN', null, 'en_US', 15.0, 15.0, null, false, 0, 15.0]; // seconds: connecting, reading, an answer
$connection = new AMQPStreamConnection($url['host'], $url['port'] ?? 5672, $user, $password, $vhost, ...$limits);
$channel = $connection->channel();
$channel->confirm_select();
$refused = false;
$channel->set_nack_handler(function () use (&$refused) { $refused = true; });
$channel->set_return_listener(function () use (&$refused) { $refused = true; }); // there is no such queue

$properties = ['delivery_mode' => 2, 'content_type' => 'application/json', 'message_id' => $id];
$message = new AMQPMessage(json_encode($task, JSON_THROW_ON_ERROR), $properties);
$channel->basic_publish($message, '', $queue, true);
$channel->wait_for_pending_acks_returns(15); // seconds
if ($refused) {
    fwrite(STDERR, "RabbitMQ did not take the task; is there a queue $queue?\n");
    exit(1);
}
echo $id, "\n";
$connection->close();
