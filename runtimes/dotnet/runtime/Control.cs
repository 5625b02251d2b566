using System.Runtime.InteropServices;

namespace Thaw.Runtime;

/// <summary>The agent did not send the record that is due.</summary>
internal sealed class ControlException(string message) : Exception(message);

/// <summary>The descriptor to the agent: one read or write is one record (SOCK_SEQPACKET). It is kept from child processes.</summary>
/// <remarks>Plain read(2) and write(2): a clone's first words cost less than through .NET's own sockets.</remarks>
internal sealed unsafe class Control
{
    private readonly int descriptor;
    private readonly byte[] buffer = new byte[Records.Largest];

    /// <exception cref="ControlException">The descriptor is not open.</exception>
    public Control(int descriptor)
    {
        this.descriptor = descriptor;
        if (Native.ControlDescriptor(descriptor, Native.SetDescriptorFlags, Native.CloseOnExec) != 0)
            throw new ControlException($"descriptor {descriptor} to the agent is not open");
    }

    /// <summary>The next record, which must be of this kind. Valid until the next call.</summary>
    /// <exception cref="ControlException">It is another one, or did not come in time.</exception>
    public ReadOnlySpan<byte> Receive(Kind kind, int timeoutMs)
    {
        if (!Wait(timeoutMs))
            throw new ControlException($"the agent sent no {kind} within {timeoutMs} ms");
        nint length;
        fixed (byte* bytes = buffer)
        {
            length = Native.Read(descriptor, bytes, (nuint)buffer.Length);
        }
        if (length <= 0)
            throw new ControlException($"the agent closed the control descriptor before {kind}");
        try
        {
            return Records.Split(buffer.AsSpan(0, (int)length), kind);
        }
        catch (MalformedException error)
        {
            throw new ControlException($"no {kind} from the agent: {error.Message}");
        }
    }

    /// <exception cref="ControlException">The agent does not take it.</exception>
    public void Send(ReadOnlySpan<byte> record)
    {
        nint sent;
        do
        {
            fixed (byte* bytes = record)
            {
                sent = Native.Write(descriptor, bytes, (nuint)record.Length);
            }
        }
        while (sent < 0 && Marshal.GetLastPInvokeError() == Native.Interrupted);
        if (sent != record.Length)
            throw new ControlException($"the agent did not take a record: error {Marshal.GetLastPInvokeError()}");
    }

    private bool Wait(int timeoutMs)
    {
        var wanted = new Native.PollDescriptor { Descriptor = descriptor, Events = Native.Readable };
        int ready;
        do
        {
            ready = Native.Poll(&wanted, 1, timeoutMs);
        }
        while (ready < 0 && Marshal.GetLastPInvokeError() == Native.Interrupted);
        return ready > 0;
    }
}
