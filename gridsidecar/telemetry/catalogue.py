"""Every message of the log in English, which is also its stable name, and in Chinese."""

CHINESE = {
    # The worker
    "consuming": "开始消费",
    "leaving": "准备退出",
    "cannot go on": "无法继续运行",
    "not ready": "未就绪",
    "ready again": "恢复就绪",
    "statistics": "统计",
    "a variable has no effect": "环境变量不生效",
    "a setting is unusual": "配置取值不寻常",
    "unexpected error": "意外错误",
    "failpoint reached": "到达故障注入点",
    # A task or an attempt ended
    "task pending": "任务已退回队列",
    "task retrying": "任务等待重试",
    "task success": "任务成功",
    "task failed": "任务失败",
    "task cancelled": "任务已取消",
    "task superseded": "任务已被接管，本次执行作废",
    # Whose a task is
    "attempt lost to another worker": "任务已被其他 worker 接管，本次执行终止",
    "a row without an attempt goes back": "任务没有对应的执行，已退回队列",
    "declared dead by another worker; going on under a new identity": "已被其他 worker 判定失联，改用新身份继续运行",
    "old tasks deleted": "已删除过期的任务",
    "task handed off to the store": "任务已移交数据库托管",
    "progress not stored": "进度未能入库",
    "a task is said to run in an earlier system": "任务显示仍在旧系统中执行",
    # Handlers that stay
    "handler process cannot start": "常驻处理进程无法启动",
    "handler process ended while it had no task": "常驻处理进程在空闲时退出",
    "handler process is replaced": "常驻处理进程被替换",
    # Messages
    "message refused": "消息不合法，已转入死信队列",
    "duplicate message dropped": "消息重复，已丢弃",
    "message came again, the attempt goes on": "消息被重复投递，本次执行继续",
    "no memory for another large message now, it is fetched again later": "暂无内存容纳更多大消息，稍后重新获取",
    "waited too long for its turn, sent anew": "排队过久，消息已重新入队",
    "came back without a start, sent anew": "消息未及执行即被退回，已重新入队",
    "a task asks for a priority, but the queue has none": "任务指定了优先级，但队列不支持优先级",
    "a delivery outlived its channel; the broker hands it out again": "channel 已关闭，消息将由 broker 重新投递",
    "a delivery outlived its lease; it is handed out again": "消息租约已到期，消息将重新投递",
    "lost the lease on a message; it is handed out again": "消息租约已丢失，消息将重新投递",
    "left out headers that AMQP cannot carry": "已略去 AMQP 无法携带的消息头",
    "left out a message property that cannot be read": "已略去无法解析的消息属性",
    # Wake-ups
    "alarm refused; the store brings it back": "延迟消息被拒绝，到期后由数据库唤回",
    "nudge not sent": "唤醒消息未发出",
    "nudge refused; it is tried again at a doubled gap": "唤醒消息被拒绝，间隔加倍后重试",
    "nudges not sent; they are tried again at a doubled gap": "唤醒消息未发出，间隔加倍后重试",
    # Callbacks
    "callback delivered": "回调已送达",
    "callback failed, it is tried again": "回调失败，稍后重试",
    "callback not sent, it is tried again": "回调未发出，稍后重试",
    "callback given up": "回调已放弃",
    # Notices
    "notices do not arrive": "通知发送失败",
    "notices arrive again": "通知恢复发送",
    "notices lost": "通知丢失",
    "the mail server refused a receiver": "邮件服务器拒绝收件人",
    # Hooks
    "running a hook": "运行 hook",
    "a hook failed": "hook 执行失败",
    "on_task_end is slower than the tasks, some ends get none": "on_task_end 跟不上任务速度，部分任务结束时未调用",
    "ends of tasks had no on_task_end": "部分任务结束时未调用 on_task_end",
    "waiting for on_task_end": "等待 on_task_end 完成",
    # The log itself
    "log file cannot be written": "日志文件无法写入",
    "log file works again": "日志文件恢复写入",
}
