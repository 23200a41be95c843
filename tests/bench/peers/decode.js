// The function node of every reader: 20 float32 out of 40 registers, kept where other flows find them.
const values = new Array(20);
for (let i = 0; i < 20; i++) values[i] = msg.responseBuffer.buffer.readFloatBE(4 * i);
global.set(msg.topic, values);
return null;
