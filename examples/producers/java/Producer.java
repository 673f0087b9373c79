// Sends one task with RabbitMQ's Java client, and prints its id.
import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.nio.charset.StandardCharsets;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicBoolean;

public class Producer {
    public static void main(String[] arguments) throws Exception {
        String queue = System.getenv("GRID_ASYNC_TASK_QUEUE");
        String id = "java-" + UUID.randomUUID();
        // Nothing in this text needs escaping; for anything else take a JSON library.
        String task = "{\"task_id\":\"" + id + "\",\"data\":{\"text\":\"to be or not to be\"},\"max_retry_count\":3}";

        Thread limit = new Thread(() -> { // for all of it: closing a connection waits without an end, too
            try { Thread.sleep(30_000); } catch (InterruptedException none) { return; }
            System.err.println("RabbitMQ did not answer within 30 s");
            Runtime.getRuntime().halt(1);
        });
        limit.setDaemon(true);
        limit.start();
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv("GRID_ASYNC_TASK_AMQP_URL"));
        try (Connection connection = factory.newConnection()) {
            Channel channel = connection.createChannel();
            channel.confirmSelect();
            AtomicBoolean returned = new AtomicBoolean(); // there is no such queue
            channel.addReturnListener((code, text, exchange, key, properties, body) -> returned.set(true));
            AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
                .deliveryMode(2).contentType("application/json").messageId(id).build();
            channel.basicPublish("", queue, true, properties, task.getBytes(StandardCharsets.UTF_8));
            channel.waitForConfirmsOrDie(15000); // milliseconds
            if (returned.get()) throw new IllegalStateException("there is no queue " + queue);
            System.out.println(id);
        }
    }
}
