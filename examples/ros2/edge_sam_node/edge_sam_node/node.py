"""The ROS 2 node: topics and a service around `edge_sam_node.bridge.Bridge`."""

from __future__ import annotations

import rclpy
from edge_sam_interfaces.srv import SetPrompt
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from edge_sam import InputError
from edge_sam_node.bridge import Bridge, to_prompts


class TrackNode(Node):
    """Subscribes to images, publishes masks and boxes, and takes prompts through a service."""

    def __init__(self) -> None:
        super().__init__("edge_sam")
        options = {name: self.declare_parameter(name, 0.0).value or None for name in ("budget_ms", "fps")}
        long_side = self.declare_parameter("long_side", 0).value or None
        model = self.declare_parameter("model", "mobile-sam").value
        self._masks = self.create_publisher(Image, "~/masks", 1)
        self._boxes = self.create_publisher(Detection2DArray, "~/boxes", 1)
        self.bridge = Bridge(self._publish, model, long_side=long_side, **options)
        self.create_subscription(Image, "image", self._on_image, qos_profile_sensor_data)
        self.create_service(SetPrompt, "~/prompt", self._on_prompt)

    def _on_image(self, message: Image) -> None:
        if self.bridge.error is not None:
            raise self.bridge.error
        stamp = message.header.stamp
        name = f"{stamp.sec} {stamp.nanosec} {message.header.frame_id}"
        data = bytes(message.data)
        try:
            self.bridge.receive(data, message.height, message.width, message.step, message.encoding, name)
        except InputError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=5.0)

    def _on_prompt(self, request: SetPrompt.Request, response: SetPrompt.Response) -> SetPrompt.Response:
        try:
            self.bridge.prompt(to_prompts(list(request.points), list(request.labels), list(request.boxes)))
            response.success = True
        except InputError as error:
            response.success, response.message = False, str(error)
        return response

    def _publish(self, name, labels, detections) -> None:  # Types: see `Bridge`.
        sec, nanosec, frame_id = name.split(" ", 2)
        header = Header(frame_id=frame_id)
        header.stamp.sec, header.stamp.nanosec = int(sec), int(nanosec)
        height, width = labels.shape
        mask = Image(header=header, height=height, width=width, encoding="mono8", step=width, data=labels.tobytes())
        self._masks.publish(mask)
        boxes = Detection2DArray(header=header)
        for number, score, (x, y, wide, high) in detections:
            found = Detection2D(header=header, id=str(number))
            found.bbox.center.position.x, found.bbox.center.position.y = x, y
            found.bbox.size_x, found.bbox.size_y = wide, high
            hypothesis = ObjectHypothesisWithPose()
            hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = str(number), score
            found.results.append(hypothesis)
            boxes.detections.append(found)
        self._boxes.publish(boxes)


def main() -> None:
    """Run the node until it is stopped."""
    rclpy.init()
    node = TrackNode()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.get_logger().info(node.bridge.close())
        node.destroy_node()
        rclpy.try_shutdown()
