<?php
// Counts the words of data.text. PHP has its own name for /dev/fd/3: php://fd/3.
$events = fopen(str_replace('/dev/fd/', 'php://fd/', getenv('GRIDSIDECAR_EVENTS') ?: 'php://stdout'), 'a');
$say = fn (array $message) => fwrite($events, json_encode(['gs' => 1] + $message, JSON_THROW_ON_ERROR) . "\n");

try {
    $task = json_decode(stream_get_contents(STDIN), true, 512, JSON_THROW_ON_ERROR);
    $text = $task['data']['text'] ?? throw new InvalidArgumentException('data.text is missing');
    $words = preg_split('/\s+/u', $text, -1, PREG_SPLIT_NO_EMPTY);
    $say(['type' => 'progress', 'progress' => 50, 'progress_message' => 'split']);
    $say(['type' => 'result', 'result' => ['words' => count($words), 'different' => count(array_unique($words))]]);
} catch (InvalidArgumentException $error) {
    $say(['type' => 'error', 'error' => $error->getMessage(), 'error_type' => 'BadInput', 'retryable' => false]);
}
