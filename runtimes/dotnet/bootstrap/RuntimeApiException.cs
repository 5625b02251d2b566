namespace Thaw.Bootstrap;

/// <summary>The Runtime API did not answer as it has to: this process is of no more use.</summary>
internal sealed class RuntimeApiException(string message, Exception? cause = null) : Exception(message, cause);
