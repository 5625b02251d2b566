using Amazon.Lambda.PowerShellHost;

namespace Prices;

/// <summary>Its constructor, which runs at publish, imports what is in Modules. The script runs at each invocation.</summary>
public class Bootstrap : PowerShellFunctionHost
{
    public Bootstrap()
        : base("Prices.ps1")
    {
    }
}
